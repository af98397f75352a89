//! What is wrong with the settings, named as the person gave them: a line of the file, or a flag.

use mirrorlab_server::config::{ConfigError, Mistake};

use super::ServeArgs;

/// One line for each mistake; the program puts `error: ` before the first.
pub(super) fn explain(error: &ConfigError, args: &ServeArgs) -> String {
    let lines: Vec<String> = error.mistakes.iter().map(|mistake| one(mistake, args)).collect();
    let mut text = lines.join("\nerror: ");
    if args.config.is_none()
        && error
            .mistakes
            .iter()
            .any(|mistake| mistake.text.contains(": is missing;"))
    {
        text.push_str("\n\nSettings may stand in a file: see --config, and docs/serve.toml.");
    }
    text
}

fn one(mistake: &Mistake, args: &ServeArgs) -> String {
    let file = args.config.as_ref().map(|file| file.display());
    let (key, why) = mistake.text.split_once(": ").unwrap_or(("", &mistake.text));
    match (file, mistake.line, flag(key, args)) {
        (Some(file), Some(line), _) => format!("{file}:{line}: {}", mistake.text),
        (_, _, Some((flag, true))) => format!("{flag}: {why}"),
        (Some(file), ..) => format!("{file}: {}", mistake.text),
        (None, _, _) if key == "tls" => {
            "--tls-cert and --tls-key are missing; expected both, or --plain-http behind a proxy that speaks TLS"
                .into()
        }
        (None, _, Some((flag, false))) => format!("{flag} {}", why.replace("`resolver`", "--resolver").replace("`connection` under [sql_server]", "--sql-server")),
        (None, ..) => mistake.text.clone(),
    }
}

/// The flag of a setting, and whether it was given.
fn flag(key: &str, args: &ServeArgs) -> Option<(&'static str, bool)> {
    Some(match key {
        "listen" => ("--listen", args.listen.is_some()),
        "tls.certificate" => ("--tls-cert", args.tls_cert.is_some()),
        "tls.key" => ("--tls-key", args.tls_key.is_some()),
        "plain_http" => ("--plain-http", args.plain_http),
        "application_id" => ("--application-id", args.application_id.is_some()),
        "application_key" => ("--application-key", args.application_key.is_some()),
        "trusted_certificates" => ("--trust", args.trust.is_some()),
        "resolver" => ("--resolver", args.resolver.is_some()),
        "mirrors" => ("--mirrors", args.mirrors.is_some()),
        "sql_server.connection" => ("--sql-server", args.sql_server.is_some()),
        "name" => ("--name-template", args.name_template.is_some()),
        _ => return None,
    })
}
