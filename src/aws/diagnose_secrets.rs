//! Secrets whose tag lets nobody read them any more: it says a stage, and not of which repository.

use super::clients::Clients;
use super::fault::fault;
use super::finding::Finding;
use super::names::TAG_ACCESS;
use crate::model::RepoName;
use crate::port::PortResult;

use aws_sdk_resourcegroupstagging::types::TagFilter;

const CHECK: &str = "secrets of programs";

/// What is tagged for programs to read, in the clients' region.
pub(super) async fn ask(clients: &Clients, repo: Option<&RepoName>) -> PortResult<Vec<Finding>> {
    let filter = TagFilter::builder().key(TAG_ACCESS).build();
    let list = clients.tagging.get_resources().tag_filters(filter);
    let list = list.resource_type_filters("secretsmanager:secret").resource_type_filters("ssm:parameter");
    let mut pages = list.into_paginator().items().send();
    let mut tagged = Vec::new();
    while let Some(mapping) = pages.next().await {
        let mapping = mapping.map_err(|error| fault("tag:GetResources", error))?;
        let value = mapping.tags().iter().find(|tag| tag.key() == TAG_ACCESS).map(|tag| tag.value().to_owned());
        tagged.extend(mapping.resource_arn().map(str::to_owned).zip(value));
    }
    tagged.sort();
    Ok(findings(&tagged, repo))
}

/// One for each secret that has to be tagged anew, or one that says that there is none.
fn findings(tagged: &[(String, String)], repo: Option<&RepoName>) -> Vec<Finding> {
    let old: Vec<&(String, String)> = tagged.iter().filter(|(_, access)| !access.contains('/')).collect();
    if old.is_empty() {
        return vec![Finding::ok(CHECK, format!("{} are tagged {TAG_ACCESS}", tagged.len()))];
    }
    let owner = repo.map_or_else(|| "<owner>/<name>".to_owned(), ToString::to_string);
    let warn = |(arn, access): &&(String, String)| {
        let now = if access == "previews" { owner.clone() } else { format!("{owner}/{access}") };
        let seen =
            format!("{arn} is tagged {TAG_ACCESS}={access}, which names no repository: nobody reads it any more");
        Finding::warn(CHECK, seen, retag(arn, &now))
    };
    old.iter().map(warn).collect()
}

/// As the AWS command line does it. Source: `secretsmanager tag-resource`, `ssm add-tags-to-resource`.
fn retag(arn: &str, access: &str) -> String {
    let tag = format!("--tags Key={TAG_ACCESS},Value={access}");
    match arn.split_once(":parameter") {
        Some((_, name)) if arn.contains(":ssm:") => {
            // `/shop/url` of `parameter/shop/url`; a name without a path is written without the slash.
            let name = if name.matches('/').count() > 1 { name } else { name.trim_start_matches('/') };
            format!("aws ssm add-tags-to-resource --resource-type Parameter --resource-id {name} {tag}")
        }
        _ => format!("aws secretsmanager tag-resource --secret-id {arn} {tag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::finding::Health;

    #[test]
    fn what_is_tagged_with_a_stage_alone_is_to_be_tagged_anew() {
        let of = |pairs: &[(&str, &str)]| {
            let tagged: Vec<_> = pairs.iter().map(|(arn, access)| ((*arn).to_owned(), (*access).to_owned())).collect();
            findings(&tagged, Some(&"acme/shop".parse().unwrap()))
        };
        let (secret, parameter) =
            ("arn:aws:secretsmanager:eu-west-1:1:secret:url-AbCdEf", "arn:aws:ssm:eu-west-1:1:parameter/shop/url");
        let old = of(&[(secret, "previews"), (parameter, "prod"), (secret, "acme/shop/prod")]);
        let fixes: Vec<&str> = old.iter().filter_map(|finding| finding.fix.as_deref()).collect();
        assert_eq!(
            fixes,
            [
                "aws secretsmanager tag-resource --secret-id arn:aws:secretsmanager:eu-west-1:1:secret:url-AbCdEf --tags Key=greenroom:access,Value=acme/shop",
                "aws ssm add-tags-to-resource --resource-type Parameter --resource-id /shop/url --tags Key=greenroom:access,Value=acme/shop/prod",
            ]
        );
        assert!(retag("arn:aws:ssm:eu-west-1:1:parameter/url", "x").contains("--resource-id url --tags"));
        assert_eq!(of(&[(secret, "acme/shop")])[0].health, Health::Ok);
        assert_eq!(of(&[])[0].health, Health::Ok);
    }
}
