//! google-cloud-auth's user credentials, which exchange a refresh token at an endpoint on loopback: asked for headers, as its
//! own clients ask, and asked by somebody who kept the last headers whether they are still good.

use std::hint::black_box;

use google_cloud_auth::credentials::{CacheableResource, Credentials, EntityTag, user_account};
use http::{Extensions, HeaderMap};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::{
    Contender, Result,
    contender::{Miss, in_turn, runtime},
    jwt, token_endpoint,
};

pub(crate) struct Google {
    credentials: Credentials,
    /// Where the task lives that renews the token. It sleeps while hits are measured.
    _background: Runtime,
}

impl Google {
    pub(crate) fn new() -> Result<Self> {
        let endpoint = token_endpoint::start(json!({
            "access_token": jwt::token(1)?,
            "token_type": "Bearer",
            "expires_in": jwt::LIFETIME_SECONDS,
        }))?;
        let background = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let user = user_account::Builder::new(json!({
            "type": "authorized_user",
            "client_id": "a-client",
            "client_secret": "a secret",
            "refresh_token": "a refresh token",
        }))
        .with_token_uri(endpoint);
        let credentials = background.block_on(async {
            let credentials = user.build()?;
            credentials.headers(Extensions::new()).await?;
            Result::Ok(credentials)
        })?;
        Ok(Self {
            credentials,
            _background: background,
        })
    }
}

impl Google {
    /// None if the tag that is in `known` is the newest one.
    async fn headers(&self, known: Extensions) -> Result<Option<(EntityTag, HeaderMap)>> {
        Ok(match self.credentials.headers(known).await? {
            CacheableResource::New { entity_tag, data } => Some((entity_tag, data)),
            CacheableResource::NotModified => None,
        })
    }
}

impl Contender for Google {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |_| {
            let (_, headers) = self.headers(Extensions::new()).await?.ok_or(Miss)?;
            // The whole map goes into a request.
            black_box(&headers);
            Ok(())
        })
    }
}

pub(crate) struct GoogleKept {
    google: Google,
    tag: EntityTag,
    headers: HeaderMap,
}

impl GoogleKept {
    pub(crate) fn new() -> Result<Self> {
        let google = Google::new()?;
        let last = runtime()?.block_on(google.headers(Extensions::new()))?;
        let (tag, headers) = last.ok_or(Miss)?;
        Ok(Self {
            google,
            tag,
            headers,
        })
    }
}

impl Contender for GoogleKept {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |_| {
            let mut known = Extensions::new();
            known.insert(self.tag.clone());
            if self.google.headers(known).await?.is_some() {
                return Err(Miss.into());
            }
            black_box(&self.headers);
            Ok(())
        })
    }
}
