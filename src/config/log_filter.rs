//! `log.level`: which log lines are written.

use tracing::level_filters::LevelFilter;

/// The most directives of one filter.
const DIRECTIVES_MAX: usize = 32;

/// Which log lines are written.
///
/// Written as a level, optionally followed by levels for single targets: `info,hyper=debug`. The
/// level applies to Storekeeper itself; libraries log at most warnings unless they are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// The level of Storekeeper's own lines.
    pub level: LevelFilter,
    /// Levels of single targets, which override the level.
    pub targets: Vec<(String, LevelFilter)>,
}

impl LogFilter {
    /// Parses a filter; the error says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut level = None;
        let mut targets = Vec::new();
        for directive in text.split(',').map(str::trim) {
            if targets.len() == DIRECTIVES_MAX {
                return Err(format!("has more than {DIRECTIVES_MAX} directives"));
            }
            match directive.split_once('=') {
                Some((target, name)) if is_target(target) => {
                    targets.push((target.to_owned(), parse_level(name)?));
                }
                Some((target, _)) => {
                    return Err(format!("{target:?} is not a target of log lines"));
                }
                None if level.is_some() => return Err("has more than one level".into()),
                None => level = Some(parse_level(directive)?),
            }
        }
        Ok(Self { level: level.unwrap_or(LevelFilter::INFO), targets })
    }

    /// The level of libraries that no directive names.
    pub fn library_level(&self) -> LevelFilter {
        self.level.min(LevelFilter::WARN)
    }
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// By name only: the library's own parser also accepts "" and digits, and its filters take a
/// misspelt level for the name of a target.
fn parse_level(name: &str) -> Result<LevelFilter, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => {
            let allowed = "off, error, warn, info, debug or trace, and `target=level` after commas";
            return Err(format!("must be {allowed}, not {name:?}"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_that_of_storekeeper_and_libraries_only_warn() {
        let filter = LogFilter::parse("debug").unwrap();
        assert_eq!(filter.level, LevelFilter::DEBUG);
        assert_eq!(filter.library_level(), LevelFilter::WARN);
        assert_eq!(LogFilter::parse("DEBUG").unwrap(), filter);
        assert_eq!(LogFilter::parse("off").unwrap().library_level(), LevelFilter::OFF);
    }

    #[test]
    fn single_targets_have_levels_of_their_own_in_any_order() {
        for text in ["warn,hyper=debug", "hyper=debug, warn"] {
            let filter = LogFilter::parse(text).unwrap();
            assert_eq!(filter.level, LevelFilter::WARN);
            assert_eq!(filter.targets, [("hyper".to_owned(), LevelFilter::DEBUG)]);
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["", "loud", "info,", "info,debug", "hyper=", "=info", "a b=info", "3"] {
            assert!(LogFilter::parse(text).is_err(), "{text:?} was read");
        }
        assert!(LogFilter::parse(&vec!["a=info"; 33].join(",")).is_err());
    }
}
