//! Why a copy came to its end, and what to do about it, decided from what is known of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::warden::Ended;
use crate::model::{Failure, FailureKind, Health};

/// How a copy came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Exited(Ended),
    /// It runs, and was ended for what the last probe saw.
    Unhealthy(Sight),
}

/// What is seen of a program that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nobody takes connections where they should be taken.
    Absent {
        port: u16,
        /// Where it takes some.
        listens: Vec<SocketAddr>,
    },
    /// It answers, or not, and otherwise than it should.
    Wrong(String),
}

/// How far the copy had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    Young,
    /// It was healthy itself, but not every copy of its version.
    Grown,
    /// Its version is live: it is started again.
    Live,
}

/// What served before the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Serves,
    Nothing,
}

/// Where a copy is to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine's own addresses, on the port that it is told.
    Told,
    /// In its container, on this port: the engine reaches none that listens on loopback there.
    Inside(u16),
}

/// All that is known of a copy's end.
pub(super) struct Story<'a> {
    pub(super) name: &'a str,
    pub(super) age: Age,
    pub(super) before: Before,
    pub(super) end: End,
    pub(super) log: Vec<String>,
    pub(super) health: &'a Health,
    pub(super) place: Place,
    /// What the program's own file says about it.
    pub(super) hint: Option<String>,
}

impl Sight {
    /// Of a program that nobody could reach at a port, with where it listens by now.
    pub(super) fn absent(port: u16, listens: Vec<SocketAddr>) -> Self {
        let own = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let is_right = |at: &SocketAddr| at.port() == port && (at.ip().is_unspecified() || own.contains(&at.ip()));
        if listens.iter().any(is_right) {
            return Self::Wrong(format!("nothing listened on port {port} until it was given up"));
        }
        Self::Absent { port, listens }
    }
}

impl std::fmt::Display for Sight {
    /// Part of a sentence: `nothing listens on port 20001`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wrong(saw) => f.write_str(saw),
            Self::Absent { port, listens } => {
                write!(f, "nothing listens on port {port}, neither on 127.0.0.1 nor on ::1")?;
                let places: Vec<String> = listens.iter().map(ToString::to_string).collect();
                if places.is_empty() { Ok(()) } else { write!(f, "; it listens on {}", places.join(", ")) }
            }
        }
    }
}

/// Says why a copy ended and what to do.
pub(super) fn explain(story: &Story<'_>) -> Failure {
    let Story { name, age, log, .. } = story;
    let when = match age {
        Age::Young => " before it was healthy",
        Age::Grown => " before all of its copies were healthy",
        Age::Live => "",
    };
    let (kind, exit_code, summary) = match &story.end {
        End::Exited(Ended { code: Some(0), left, .. }) if !left.is_empty() => (
            FailureKind::Exited,
            Some(0),
            format!("`{name}` ended with exit code 0{when} and left {} in the background", programs(left)),
        ),
        End::Exited(Ended { code: Some(code), .. }) => {
            (FailureKind::Exited, Some(*code), format!("`{name}` ended with exit code {code}{when}"))
        }
        End::Exited(Ended { code: None, .. }) => {
            (FailureKind::Exited, None, format!("`{name}` ended{when}, and nobody saw with which exit code"))
        }
        End::Unhealthy(saw) => {
            (FailureKind::Unhealthy, None, format!("`{name}` runs but its health check does not pass: {saw}"))
        }
    };
    Failure { kind, summary, exit_code, log: log.clone(), advice: advice(story) }
}

fn programs(left: &[String]) -> String {
    left.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn advice(story: &Story<'_>) -> String {
    let Story { age, before, end, log, hint, .. } = story;
    let health = story.health;
    let port = match story.place {
        Place::Told => "the port in `PORT`".to_owned(),
        Place::Inside(port) => format!("port {port} of every address in its container (`0.0.0.0`)"),
    };
    let what = match end {
        _ if hint.is_some() => hint.clone().unwrap_or_default(),
        End::Exited(Ended { code: Some(0), left, .. }) if !left.is_empty() => {
            "Run it in the foreground (`daemon off;`, `--no-daemon`, no `&` at the end): what it leaves behind is ended \
             with it."
                .to_owned()
        }
        End::Exited(Ended { code: Some(0), .. }) => {
            "A service runs until it is told to end: start what serves, not what prepares it.".to_owned()
        }
        End::Exited(Ended { code: Some(137), .. }) => {
            "It was killed from outside, as the machine does when its memory is used up.".to_owned()
        }
        End::Exited(_) if log.is_empty() => {
            "It printed nothing: have it say on its standard error why it ends.".to_owned()
        }
        End::Exited(_) => "Its last lines say why.".to_owned(),
        End::Unhealthy(Sight::Absent { port, listens }) if listens.iter().any(|at| at.port() == *port) => {
            "Let it listen on 127.0.0.1, ::1 or every address.".to_owned()
        }
        End::Unhealthy(Sight::Absent { .. }) => format!(
            "Let it listen on the port in `PORT`, which Greenroom chooses, and answer `GET {}` with {}.",
            health.path, health.status
        ),
        End::Unhealthy(Sight::Wrong(_)) => format!(
            "Let it listen on {port} and answer `GET {}` with {}, or change `health` in the configuration.",
            health.path, health.status
        ),
    };
    let then = match (age, before) {
        (Age::Live, _) => "It is started again, after longer and longer pauses, until a push mends it.",
        (_, Before::Serves) => "Mend it and push; what served before still serves.",
        (_, Before::Nothing) => "Mend it and push.",
    };
    format!("{what} {then}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seconds;

    fn health() -> Health {
        Health {
            path: "/health".into(),
            status: 200,
            interval: Seconds(10),
            timeout: Seconds(5),
            healthy: 2,
            unhealthy: 3,
            grace: Seconds(30),
        }
    }

    fn exited(code: Option<i32>, left: &[&str]) -> End {
        let left = left.iter().map(|&name| name.to_owned()).collect();
        End::Exited(Ended { code, left, nothing_lives: true })
    }

    fn told(age: Age, before: Before, end: End, log: &[&str]) -> Failure {
        let log = log.iter().map(|&line| line.to_owned()).collect();
        explain(&Story { name: "web", age, before, end, log, health: &health(), place: Place::Told, hint: None })
    }

    #[test]
    fn a_first_deploy_is_not_told_that_something_still_serves() {
        let first = told(Age::Young, Before::Nothing, exited(Some(3), &[]), &["no such table"]);
        assert_eq!(first.summary, "`web` ended with exit code 3 before it was healthy");
        assert_eq!(first.advice, "Its last lines say why. Mend it and push.");
        let later = told(Age::Young, Before::Serves, exited(Some(3), &[]), &["no such table"]);
        assert_eq!(later.advice, "Its last lines say why. Mend it and push; what served before still serves.");
    }

    #[test]
    fn a_version_that_is_live_was_healthy() {
        let live = told(Age::Live, Before::Nothing, exited(Some(7), &[]), &["out of handles"]);
        assert_eq!(live.summary, "`web` ended with exit code 7");
        assert!(
            live.advice.contains("It is started again") && !live.advice.contains("still serves"),
            "{}",
            live.advice
        );
        let grown = told(Age::Grown, Before::Nothing, exited(Some(7), &[]), &[]);
        assert_eq!(grown.summary, "`web` ended with exit code 7 before all of its copies were healthy");
    }

    #[test]
    fn no_last_lines_are_promised_that_are_not_there() {
        let silent = told(Age::Young, Before::Nothing, exited(Some(1), &[]), &[]);
        assert!(silent.advice.starts_with("It printed nothing"), "{}", silent.advice);
        let killed = told(Age::Young, Before::Nothing, exited(Some(137), &[]), &["ok"]);
        assert!(killed.advice.contains("memory"), "{}", killed.advice);
        let unseen = told(Age::Live, Before::Nothing, exited(None, &[]), &["ok"]);
        assert!(unseen.summary.contains("nobody saw"), "{}", unseen.summary);
    }

    #[test]
    fn who_goes_into_the_background_is_told_to_stay() {
        let gone = told(Age::Young, Before::Nothing, exited(Some(0), &["nginx"]), &[]);
        assert!(gone.summary.ends_with("and left `nginx` in the background"), "{}", gone.summary);
        assert!(gone.advice.contains("in the foreground"), "{}", gone.advice);
        let done = told(Age::Young, Before::Nothing, exited(Some(0), &[]), &["built"]);
        assert!(done.advice.contains("runs until it is told to end"), "{}", done.advice);
        let broken = told(Age::Young, Before::Nothing, exited(Some(1), &["node"]), &["oh"]);
        assert!(!broken.summary.contains("background"), "what fails leaves its children behind as well");
    }

    #[test]
    fn in_a_container_loopback_is_no_place_to_listen() {
        let (end, place) = (End::Unhealthy(Sight::Wrong("it closes the connection".into())), Place::Inside(3000));
        let (before, log, health) = (Before::Nothing, Vec::new(), &health());
        let story = Story { name: "web", age: Age::Young, before, end, log, health, place, hint: None };
        let told = explain(&story);
        assert!(told.advice.starts_with("Let it listen on port 3000 of every address"), "{}", told.advice);
    }

    #[test]
    fn where_it_listens_is_said_with_advice_that_fits() {
        let at = |ip: [u8; 4], port| SocketAddr::from((Ipv4Addr::from(ip), port));
        let absent = |listens| End::Unhealthy(Sight::Absent { port: 20_001, listens });
        let nowhere = told(Age::Young, Before::Nothing, absent(vec![]), &[]);
        let said = "`web` runs but its health check does not pass: nothing listens on port 20001, neither on 127.0.0.1 \
                    nor on ::1";
        assert_eq!(nowhere.summary, said);
        let elsewhere = told(Age::Young, Before::Nothing, absent(vec![at([0, 0, 0, 0], 3000)]), &[]);
        assert_eq!(elsewhere.summary, format!("{said}; it listens on 0.0.0.0:3000"));
        assert!(elsewhere.advice.contains("the port in `PORT`"), "{}", elsewhere.advice);
        let outside = told(Age::Young, Before::Nothing, absent(vec![at([10, 0, 0, 5], 20_001)]), &[]);
        assert!(outside.advice.starts_with("Let it listen on 127.0.0.1, ::1"), "{}", outside.advice);
    }

    #[test]
    fn who_listens_in_the_last_moment_is_not_told_to_listen_there() {
        for place in ["127.0.0.1:20001", "0.0.0.0:20001", "[::1]:20001", "[::]:20001"] {
            let at = vec![place.parse().expect("an address")];
            let late = told(Age::Young, Before::Nothing, End::Unhealthy(Sight::absent(20_001, at)), &[]);
            assert!(late.summary.ends_with("nothing listened on port 20001 until it was given up"), "{}", late.summary);
            assert!(late.advice.contains("or change `health` in the configuration"), "{}", late.advice);
        }
        for place in ["10.0.0.5:20001", "127.0.0.1:3000"] {
            let listens: Vec<SocketAddr> = vec![place.parse().expect("an address")];
            let elsewhere = Sight::absent(20_001, listens.clone());
            assert_eq!(elsewhere, Sight::Absent { port: 20_001, listens });
        }
    }
}
