//! What AWS cannot run as it is written.

use crate::model::{Runtime, SecretRef, ServiceSpec, Size, StageSpec};

/// Sentences for the reader; none if all can run.
pub(in crate::aws) fn objections(spec: &StageSpec) -> Vec<String> {
    let mut found = Vec::new();
    if spec.place.domain.is_none() && spec.services.iter().any(|service| service.host.is_some()) {
        found.push("a service with a `host` needs `domain`: the zone under which stages answer on AWS".to_owned());
    }
    found.extend(spec.services.iter().flat_map(of_service));
    found
}

fn of_service(service: &ServiceSpec) -> Vec<String> {
    let name = &service.name;
    let mut found = Vec::new();
    if matches!(service.runtime, Runtime::Process { .. }) {
        found.push(format!("`{name}` is a process of one machine: on AWS it needs an image, built with `build`"));
    }
    for (key, secret) in &service.secrets {
        if let SecretRef::ServerEnv(variable) = secret {
            found.push(format!(
                "the secret `{key}` of `{name}` is `env:{variable}`, which only this machine has: keep it in \
                 `secretsmanager:` or `ssm:`"
            ));
        }
    }
    if service.host.is_some() && service.port.is_none() {
        found.push(format!("`{name}` has a `host` and so needs a `port`"));
    }
    found.extend(of_size(service.size).map(|why| format!("the size of `{name}` is none of Fargate's: {why}")));
    if let Some(health) = Some(&service.health).filter(|_| service.host.is_some())
        && health.timeout >= health.interval
    {
        found.push(format!("`health.timeout` of `{name}` must be shorter than its `health.interval`"));
    }
    found
}

/// Source: Amazon ECS developer guide, "Task CPU and memory" for Fargate.
fn of_size(size: Size) -> Option<String> {
    const GIB: u32 = 1024;
    let (from, to, step) = match size.cpu {
        256 if [512, GIB, 2 * GIB].contains(&size.memory) => return None,
        256 => return Some("with 256 CPU units, memory is 512, 1024 or 2048 MiB".to_owned()),
        512 => (GIB, 4 * GIB, GIB),
        1024 => (2 * GIB, 8 * GIB, GIB),
        2048 => (4 * GIB, 16 * GIB, GIB),
        4096 => (8 * GIB, 30 * GIB, GIB),
        8192 => (16 * GIB, 60 * GIB, 4 * GIB),
        16384 => (32 * GIB, 120 * GIB, 8 * GIB),
        other => {
            return Some(format!("CPU units are 256, 512, 1024, 2048, 4096, 8192 or 16384, not {other}"));
        }
    };
    let fits = (from..=to).contains(&size.memory) && size.memory.is_multiple_of(step);
    (!fits).then(|| format!("with {} CPU units, memory is {from} to {to} MiB in steps of {step}", size.cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sizes_that_fargate_has() {
        let good = [(256, 512), (256, 2048), (512, 4096), (1024, 3072), (4096, 30720), (8192, 20480), (16384, 122_880)];
        let bad = [(256, 4096), (256, 768), (512, 512), (512, 1500), (1024, 16384), (8192, 17408), (300, 512), (0, 0)];
        let objection = |(cpu, memory)| of_size(Size { cpu, memory });
        assert_eq!(good.map(objection), [const { None }; 7]);
        assert!(bad.into_iter().all(|size| objection(size).is_some()), "{bad:?}");
        insta::assert_snapshot!(objection((512, 512)).unwrap_or_default(), @"with 512 CPU units, memory is 1024 to 4096 MiB in steps of 1024");
    }
}
