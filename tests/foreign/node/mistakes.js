// The mistakes that such a stack invites, made where `--mistakes` names them: what each comes from.

export const MISTAKES = {
  'null-and-empty': 'a missing text is falsy, and so is an empty one: both become the empty text',
  'control-characters': 'what XML 1.0 forbids is cut out of texts, since the parser would refuse it',
  'carriage-return': "line ends are made the platform's own, those of `&#xD;` too",
  'member-order': 'an answer is an object literal, and its members are written in whatever order they were put there',
  'big-integers': 'a whole number is a double: beyond 2^53 its last digits are lost',
};

const made = new Set();

export function make(list) {
  for (const name of list.split(',').filter((n) => n !== '')) {
    if (!(name in MISTAKES)) throw new Error(`--mistakes: ${name} is none of ${Object.keys(MISTAKES).join(', ')}`);
    made.add(name);
  }
}

export const isMistaken = (name) => made.has(name);
