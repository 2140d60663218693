//! A registry of a few lines on this machine, which keeps what is put there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Content type and bytes, by path.
type Kept = Arc<Mutex<BTreeMap<String, (String, Bytes)>>>;

pub(crate) struct Registry {
    /// Host and port.
    pub(crate) host: String,
    kept: Kept,
    door: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.door.abort();
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let kept = Kept::default();
        let router = Router::new().fallback(answer).with_state(kept.clone());
        let door = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { host, kept, door }
    }

    /// What a workflow's push leaves: an image under `host/path:tag`.
    pub(crate) fn push(&self, image: &str) {
        let rest = image.strip_prefix(&format!("{}/", self.host)).expect("an image of this registry");
        let (path, tag) = rest.rsplit_once(':').expect("a tag");
        let config = br#"{"architecture":"amd64","os":"linux"}"#.as_slice();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": IMAGE, "annotations": { "image": image }, "layers": [],
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": 37 },
        });
        let mut kept = self.kept.lock().expect("whole");
        let blob = format!("/v2/{path}/blobs/{}", digest(config));
        kept.insert(blob, ("application/octet-stream".into(), Bytes::from_static(config)));
        kept.insert(format!("/v2/{path}/manifests/{tag}"), (IMAGE.into(), manifest.to_string().into()));
    }

    /// The tags that begin so, of all repositories, as `path:tag`.
    pub(crate) fn tags(&self, beginning: &str) -> Vec<String> {
        let kept = self.kept.lock().expect("whole");
        let tag = |path: &String| {
            let (path, tag) = path.strip_prefix("/v2/")?.split_once("/manifests/")?;
            tag.starts_with(beginning).then(|| format!("{path}:{tag}"))
        };
        kept.keys().filter_map(tag).collect()
    }
}

async fn answer(State(kept): State<Kept>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    match parts.method {
        Method::GET => match kept.lock().expect("whole").get(&path) {
            Some((kind, bytes)) => ([(header::CONTENT_TYPE, kind.clone())], bytes.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Method::PUT => {
            let bytes = body.collect().await.expect("a whole body").to_bytes();
            let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            kept.lock().expect("whole").insert(path, (kind.unwrap_or(IMAGE).to_owned(), bytes));
            StatusCode::CREATED.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
