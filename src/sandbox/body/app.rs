//! The app and its installations.

use serde_json::{Value, json};

use super::{extend, user};
use crate::sandbox::record::{Account, ForeignApp};
use crate::sandbox::world::{APP_ID, APP_SLUG, CLIENT_ID, Grants, World, iso, node_id};

/// Permissions as GitHub writes them: `{"checks": "write"}`.
pub(in crate::sandbox) fn grants(grants: &Grants) -> Value {
    grants.iter().map(|(name, level)| (name.clone(), Value::from(level.as_str()))).collect()
}

/// An `integration`.
pub(in crate::sandbox) fn app(world: &World) -> Value {
    let at = iso(world.app.created_at);
    json!({
        "id": APP_ID,
        "slug": APP_SLUG,
        "client_id": CLIENT_ID,
        "node_id": node_id("App", APP_ID),
        "owner": user(&world.base, &world.app.owner),
        "name": "Greenroom (sandbox)",
        "description": "Every pull request gets its own stage",
        "external_url": world.base,
        "html_url": format!("{}/apps/{APP_SLUG}", world.base),
        "created_at": at,
        "updated_at": at,
        "permissions": grants(&world.app.grants),
        "events": world.app.events,
    })
}

/// By which App an account acts.
pub(in crate::sandbox) fn via(world: &World, account: &Account) -> Value {
    if account.id == world.app.bot.id {
        return app(world);
    }
    world.app_of(account).map_or(Value::Null, |foreign| foreign_app(world, foreign))
}

/// The `integration` of somebody else.
pub(in crate::sandbox) fn foreign_app(world: &World, app: &ForeignApp) -> Value {
    let at = iso(world.app.created_at);
    let slug = &app.slug;
    json!({
        "id": app.id,
        "slug": slug,
        "client_id": format!("Iv23{slug}"),
        "node_id": node_id("App", app.id),
        "owner": user(&world.base, &world.app.owner),
        "name": slug,
        "description": "",
        "external_url": world.base,
        "html_url": format!("{}/apps/{slug}", world.base),
        "created_at": at,
        "updated_at": at,
        "permissions": { "checks": "write", "metadata": "read" },
        "events": [],
    })
}

/// An `installation` on the account of that name.
pub(in crate::sandbox) fn installation(world: &World, owner: &str, id: u64) -> Value {
    let at = iso(world.app.created_at);
    let account = world.accounts.get(owner);
    let mut value = json!({
        "id": id,
        "account": account.map(|account| user(&world.base, account)),
        "app_id": APP_ID,
        "app_slug": APP_SLUG,
        "client_id": CLIENT_ID,
        "target_id": account.map_or(0, |account| account.id),
        "target_type": "Organization",
        "repository_selection": "selected",
        "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", world.base),
        "repositories_url": format!("{}/installation/repositories", world.base),
        "html_url": format!("{}/organizations/{owner}/settings/installations/{id}", world.base),
    });
    extend(
        &mut value,
        json!({
            "permissions": grants(&world.app.grants),
            "events": world.app.events,
            "created_at": at,
            "updated_at": at,
            "single_file_name": null,
            "has_multiple_single_files": false,
            "single_file_paths": [],
            "suspended_by": null,
            "suspended_at": null,
        }),
    );
    value
}
