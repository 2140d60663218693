//! What all parts of the local target share: its settings, its disk, and the versions in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::disk::{Disk, Fate, VersionId, VersionRecord};
use super::docker::Docker;
use super::proxy::Routes;
use super::settings::ServerEnv;
use super::unit::Unit;
use super::unrest::{News, Watch};
use super::warden::WardenProgram;
use crate::crowd::Crowd;
use crate::model::{
    Addressing, FailureKind, LocalCommands, Runtime, Scheme, SecretRef, ServiceSpec, StageId, StageSpec,
};
use crate::port::{Clock, PortError, PortResult, Rollout, is_own_exhaustion};

/// Ports of programs lie below those that the kernel gives to outgoing connections (32768 and up),
/// so that no connection of somebody else takes one between our look and the program's start.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

pub(super) struct Shared {
    pub(super) disk: Disk,
    /// Names this server's data folder in markers and labels.
    pub(super) home: String,
    pub(super) path: String,
    pub(super) server_env: ServerEnv,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) docker: Docker,
    pub(super) routes: Arc<Routes>,
    /// Who is at the proxy.
    pub(super) crowd: Arc<Crowd>,
    /// Where the proxy is asked by ourselves.
    pub(super) door: SocketAddr,
    pub(super) port_shown: u16,
    pub(super) units: Mutex<BTreeMap<VersionId, Arc<Unit>>>,
    pub(super) next_port: Mutex<u16>,
    pub(super) warden: WardenProgram,
    /// Stages that somebody should look at.
    pub(super) news: Arc<News>,
    /// Stops every task of this target; what they look after runs on.
    pub(super) halt: CancellationToken,
}

/// Names a data folder, given whole.
pub(super) fn home_of(data_dir: &Path) -> String {
    format!("greenroom-{}", &hex::encode(Sha256::digest(data_dir.as_os_str().as_encoded_bytes()))[..16])
}

impl Shared {
    /// How stages on this machine are addressed.
    pub(super) fn addressing(&self) -> Addressing {
        let port = Some(self.port_shown).filter(|port| *port != 80);
        Addressing { scheme: Scheme::Http, zone: "localhost".to_owned(), port, local_commands: LocalCommands::Run }
    }

    /// A version that exists, in memory or on disk.
    pub(super) fn unit(&self, id: &VersionId) -> PortResult<Option<Arc<Unit>>> {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unit) = units.get(id) {
            return Ok(Some(Arc::clone(unit)));
        }
        let Some(record) = self.disk.read_version(id)? else { return Ok(None) };
        let falls = match self.disk.read_falls(id) {
            // It is a note about the version: one that cannot be understood keeps nobody from serving it.
            Err(error @ PortError::Bug { .. }) => {
                tracing::warn!(version = %id.version, %error, "how a version fared is not known");
                None
            }
            falls => falls?,
        };
        let watch = Watch::of(falls);
        let unit = Arc::new(Unit::new(id.clone(), record, watch, &self.halt));
        units.insert(id.clone(), Arc::clone(&unit));
        Ok(Some(unit))
    }

    /// The version of a rollout, written to disk before anything of it runs.
    pub(super) fn unit_for(&self, rollout: &Rollout<'_>) -> PortResult<Arc<Unit>> {
        let id = version_id(rollout)?;
        if let Some(unit) = self.unit(&id)? {
            return Ok(unit);
        }
        let copies = usize::try_from(rollout.service.scale.min.max(1)).unwrap_or(1);
        let record = VersionRecord {
            version: id.version.clone(),
            sha: rollout.stage.sha.clone(),
            generation: rollout.generation,
            spec: with_stage_env(rollout),
            artifact: rollout.artifact.clone(),
            made_at: self.clock.now(),
            fate: Fate::Unproven,
            ports: self.free_ports(copies)?,
        };
        if matches!(record.spec.runtime, Runtime::Image(_)) {
            self.disk.mark_containers(&id.stage, &id.service)?;
        }
        self.disk.write_version(&id, &record)?;
        let unit = Arc::new(Unit::new(id.clone(), record, Watch::default(), &self.halt));
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(units.entry(id).or_insert(unit)))
    }

    /// Forgets a version that is gone.
    pub(super) fn forget(&self, id: &VersionId) {
        self.units.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Names one program of this server: a copy's index, or `migrate`.
    pub(super) fn marker(&self, id: &VersionId, role: &str) -> String {
        format!("{}/{}/{}/{}/{role}", self.home, id.stage, id.service, id.version)
    }

    /// Ports that nobody listens on and no version of ours was given.
    pub(super) fn free_ports(&self, count: usize) -> PortResult<Vec<u16>> {
        let units: Vec<_> = {
            let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
            units.values().cloned().collect()
        };
        let taken: BTreeSet<u16> = units.iter().flat_map(|unit| unit.record().ports).collect();
        let mut next = self.next_port.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ports = Vec::with_capacity(count);
        for _ in PORTS {
            if ports.len() == count {
                break;
            }
            *next = if PORTS.contains(&(*next + 1)) { *next + 1 } else { PORTS.start };
            if taken.contains(&next) {
                continue;
            }
            match is_free(*next) {
                Ok(true) => ports.push(*next),
                Ok(false) => {}
                Err(error) => {
                    return Err(PortError::retry(format!("this server cannot look for a free port: {error}")));
                }
            }
        }
        if ports.len() == count {
            return Ok(ports);
        }
        let advice = "Close stages that nobody needs, or programs that listen there.";
        let summary = format!("no port from {} to {} is free", PORTS.start, PORTS.end - 1);
        Err(PortError::failed(FailureKind::Environment, summary, advice))
    }

    /// Where the search for ports begins: servers with different folders stay out of each other's way.
    pub(super) fn first_port(home: &str) -> u16 {
        let sum = home.bytes().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
        PORTS.start + sum % (PORTS.end - PORTS.start)
    }

    /// The secrets of a stage that this server has no value for, in sentences.
    pub(super) fn missing_secrets(&self, spec: &StageSpec) -> Vec<String> {
        let of_service = |service: &ServiceSpec| {
            let name = service.name.clone();
            let missing = service.secrets.iter().filter_map(move |(key, secret)| match secret {
                SecretRef::ServerEnv(variable) => Some((name.clone(), key.clone(), variable.clone())),
                SecretRef::SecretsManager(_) | SecretRef::Ssm(_) => None,
            });
            missing.collect::<Vec<_>>()
        };
        let asked = spec.services.iter().flat_map(of_service);
        asked
            .filter(|(.., variable)| (self.server_env)(variable).is_none())
            .map(|(service, key, variable)| {
                format!(
                    "the secret `{key}` of `{service}` has no value here: set GREENROOM_SECRET_{variable} where Greenroom \
                     runs, and start it again. The number is this repository's, so that no other one gets it"
                )
            })
            .collect()
    }

    /// The values of a service's secrets.
    pub(super) fn secrets(&self, spec: &ServiceSpec) -> PortResult<BTreeMap<String, SecretString>> {
        let value = |(name, reference): (&String, &SecretRef)| {
            let trouble = |summary: String, advice: &str| PortError::failed(FailureKind::Environment, summary, advice);
            let SecretRef::ServerEnv(variable) = reference else {
                return Err(trouble(
                    format!("secret `{name}` lies with AWS, which a stage on this machine does not ask"),
                    "Override it for this stage with `env:<NAME>` and set that variable for the server.",
                ));
            };
            // A pull request writes this name: it must not reach the server's own keys.
            if ["GREENROOM_", "AWS_"].iter().any(|own| variable.to_ascii_uppercase().starts_with(own)) {
                return Err(trouble(
                    format!("secret `{name}` asks for `{variable}`, which belongs to Greenroom itself"),
                    "Give the app a variable of its own.",
                ));
            }
            match (self.server_env)(variable) {
                Some(value) => Ok((name.clone(), value)),
                None => Err(trouble(
                    format!(
                        "secret `{name}` asks for the server's variable `GREENROOM_SECRET_{variable}`, which is not set"
                    ),
                    "Set it where Greenroom runs, restart Greenroom and deploy again.",
                )),
            }
        };
        spec.secrets.iter().map(value).collect()
    }

    /// The values to blot out of a log.
    pub(super) fn secret_values(&self, spec: &ServiceSpec) -> Vec<SecretString> {
        spec.secrets
            .values()
            .filter_map(|reference| match reference {
                SecretRef::ServerEnv(variable) => (self.server_env)(variable),
                SecretRef::SecretsManager(_) | SecretRef::Ssm(_) => None,
            })
            .collect()
    }

    /// Refuses a host that another stage has: two repositories may both have a `pr-1`.
    pub(super) fn host_is_free(&self, stage: &StageId, spec: &ServiceSpec) -> PortResult<()> {
        let Some(host) = &spec.host else { return Ok(()) };
        match self.routes.owner(host).filter(|owner| owner != stage) {
            Some(owner) => Err(host_taken(host, stage, &owner)),
            None => Ok(()),
        }
    }
}

/// Whether nobody listens on a port of this machine's own addresses, of either family: a program may take
/// either, and whoever listens on the other one would answer in its place.
fn is_free(port: u16) -> io::Result<bool> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => {}
        Err(error) if is_own_exhaustion(&error) => return Err(error),
        Err(_) => return Ok(false),
    }
    let second = TcpListener::bind((IpAddr::from(Ipv6Addr::LOCALHOST), port));
    // A machine without that family has nobody there.
    Ok(second.err().is_none_or(|error| error.kind() != io::ErrorKind::AddrInUse))
}

/// Another repository is not named: it may be nobody's to know.
pub(super) fn host_taken(host: &str, stage: &StageId, owner: &StageId) -> PortError {
    let whose = if owner.repo == stage.repo {
        format!("the stage `{}`", owner.name)
    } else {
        tracing::warn!(%stage, %owner, "{stage} asks for {host}, which is {owner}'s");
        "another repository of this Greenroom".to_owned()
    };
    let summary = format!("`{host}` already belongs to {whose}");
    let advice = "Give each repository a zone of its own: set `domain.zone`, for example to `shop.localhost`.";
    PortError::failed(FailureKind::Environment, summary, advice)
}

/// A version's key becomes a folder's name, so it must be nothing but a name.
pub(super) fn version_id(rollout: &Rollout<'_>) -> PortResult<VersionId> {
    let version = rollout.version.clone();
    let is_name = !version.0.is_empty()
        && version.0.len() <= 64
        && version.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_name {
        return Err(PortError::Bug { context: format!("the version key {:?} is not a name", version.0), source: None });
    }
    Ok(VersionId { stage: rollout.stage.stage.clone(), service: rollout.service.name.clone(), version })
}

/// The service with what every program is told about its stage.
fn with_stage_env(rollout: &Rollout<'_>) -> ServiceSpec {
    let mut spec = rollout.service.clone();
    let told = [
        ("GREENROOM_STAGE", Some(rollout.stage.stage.name.to_string())),
        ("GREENROOM_SHA", Some(rollout.stage.sha.to_string())),
        ("GREENROOM_URL", rollout.stage.url().map(str::to_owned)),
        ("GREENROOM_PR", rollout.stage.pull.map(|pull| pull.to_string())),
    ];
    for (name, value) in told {
        if let Some(value) = value {
            spec.env.entry(name.to_owned()).or_insert(value);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_when_nobody_has_it_in_either_family() {
        let second = super::super::sockets::has_second_family().then(|| IpAddr::from(Ipv6Addr::LOCALHOST));
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST)].into_iter().chain(second) {
            let taken = TcpListener::bind((address, 0)).expect("a port");
            let port = taken.local_addr().expect("an address").port();
            assert!(!is_free(port).expect("a look"), "{address}");
        }
    }
}
