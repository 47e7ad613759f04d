//! The OpenAPI document, and the documentation pages: Swagger UI and Redoc, whole in the binary, nothing
//! fetched from elsewhere.
//!
//! Both pages load their scripts as files from here, so that the content security policy can forbid
//! every other script, inline ones included. Their styles are partly made at run time and must be
//! allowed inline.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use utoipa_swagger_ui::Config;

use crate::http::api::Api;
use crate::http::error::{ApiError, Code};

/// What the pages may load and run. Redoc searches in a worker made from a blob.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const SWAGGER_PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasklane API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;

const REDOC_PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasklane API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="redoc"></div>
<script src="/redoc/redoc.standalone.js"></script>
<script src="/redoc/redoc-initializer.js"></script>
</body>
</html>
"#;

const REDOC_INITIALIZER: &str =
    "Redoc.init('/openapi.json', {hideDownloadButton: false}, document.getElementById('redoc'));\n";

/// A picture Redoc would fetch from its makers' server, and an empty one in its place.
const REDOC_LOGO: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const NO_LOGO: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";

/// Redoc's script, taken out of the page `aide` builds around it.
static REDOC_SCRIPT: LazyLock<Bytes> = LazyLock::new(|| {
    let page = aide::redoc::Redoc::new("").html();
    let after_tag = page.split_once("<script>").map_or("", |(_, rest)| rest);
    let script = after_tag.rsplit_once("Redoc.init(").map_or("", |(script, _)| script);
    script.replace(REDOC_LOGO, NO_LOGO).into()
});

static SWAGGER_CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // The validator would be somebody else's server.
    let config = Config::new(["/openapi.json"]).validator_url("none");
    Arc::new(config.display_operation_id(true).display_request_duration(true).deep_linking(true))
});

/// The OpenAPI document.
pub(crate) async fn get_document(request: HttpRequest) -> HttpResponse {
    file("application/json", Api::of(&request).document.clone().into())
}

/// Swagger UI's page.
pub(crate) async fn get_docs() -> HttpResponse {
    page(SWAGGER_PAGE)
}

/// Swagger UI's files.
pub(crate) async fn get_docs_file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let found = utoipa_swagger_ui::serve(&name, Arc::clone(&SWAGGER_CONFIG)).ok().flatten();
    let found = found.filter(|_| !name.is_empty()).ok_or_else(not_found)?;
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(file(&found.content_type, bytes))
}

/// Redoc's page.
pub(crate) async fn get_redoc() -> HttpResponse {
    page(REDOC_PAGE)
}

/// Redoc's files.
pub(crate) async fn get_redoc_file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    match name.as_str() {
        "redoc.standalone.js" => Ok(file("text/javascript", REDOC_SCRIPT.clone())),
        "redoc-initializer.js" => {
            Ok(file("text/javascript", Bytes::from_static(REDOC_INITIALIZER.as_bytes())))
        }
        _ => Err(not_found()),
    }
}

/// No such file.
pub(crate) fn not_found() -> ApiError {
    ApiError::new(Code::NotFound, "Not Found")
}

fn page(html: &'static str) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    response.insert_header((CONTENT_SECURITY_POLICY, POLICY)).insert_header((CACHE_CONTROL, "no-cache"));
    response.body(html)
}

/// A file, asked for again each time.
pub(crate) fn file(content_type: &str, bytes: Bytes) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, content_type)).insert_header((CACHE_CONTROL, "no-cache"));
    response.body(bytes)
}
