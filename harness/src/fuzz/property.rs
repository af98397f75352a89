//! What must hold in every history, each with a written id that never changes.

/// A property of mirroring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// `fuzz-cycle`
    Cycle,
    /// `fuzz-sent`
    Sent,
    /// `fuzz-equal`
    Equal,
    /// `fuzz-camouflage`
    Camouflage,
    /// `fuzz-heals`
    Heals,
    /// `fuzz-whole-calls`
    WholeCalls,
    /// `fuzz-call`
    Call,
    /// `fuzz-lsn`
    Lsn,
    /// `fuzz-apart`
    Apart,
    /// `fuzz-own-table`
    OwnTable,
    /// `fuzz-trust`
    Trust,
    /// `fuzz-refused`
    Refused,
    /// `fuzz-told`
    Told,
}

impl Property {
    /// All of them.
    pub const ALL: [Property; 13] = [
        Property::Cycle,
        Property::Sent,
        Property::Equal,
        Property::Camouflage,
        Property::Heals,
        Property::WholeCalls,
        Property::Call,
        Property::Lsn,
        Property::Apart,
        Property::OwnTable,
        Property::Trust,
        Property::Refused,
        Property::Told,
    ];

    /// Its id.
    pub fn id(self) -> &'static str {
        match self {
            Property::Cycle => "fuzz-cycle",
            Property::Sent => "fuzz-sent",
            Property::Equal => "fuzz-equal",
            Property::Camouflage => "fuzz-camouflage",
            Property::Heals => "fuzz-heals",
            Property::WholeCalls => "fuzz-whole-calls",
            Property::Call => "fuzz-call",
            Property::Lsn => "fuzz-lsn",
            Property::Apart => "fuzz-apart",
            Property::OwnTable => "fuzz-own-table",
            Property::Trust => "fuzz-trust",
            Property::Refused => "fuzz-refused",
            Property::Told => "fuzz-told",
        }
    }

    /// What it says.
    pub fn rule(self) -> &'static str {
        match self {
            Property::Cycle => "a cycle that nothing disturbs succeeds",
            Property::Sent => "a cycle wipes and sends what the LSNs ask for, and nothing else",
            Property::Equal => "after a clean cycle the mirror equals the source",
            Property::Camouflage => {
                "after a restore that nobody could see, only the keys that it explains differ"
            }
            Property::Heals => "after any faults, one clean cycle heals",
            Property::WholeCalls => "a cycle that breaks off leaves what its whole calls did, and no more",
            Property::Call => {
                "a call does what it says, whoever sends it, and one that is refused changes nothing"
            }
            Property::Lsn => "no LSN stands for rows that are not there",
            Property::Apart => "one tenant never touches another",
            Property::OwnTable => "a table that the server did not make is never touched",
            Property::Trust => "a call is let in by its own token alone, and only then",
            Property::Refused => "what cannot be done is refused, and the answer says so",
            Property::Told => "what went wrong stands in the partner's log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_has_an_id_of_its_own() {
        let mut ids: Vec<&str> = Property::ALL.iter().map(|p| p.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Property::ALL.len());
        assert!(ids.iter().all(|id| id.starts_with("fuzz-")));
    }
}
