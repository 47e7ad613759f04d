//! The OpenAPI document, and its pages: Swagger UI and Redoc, both embedded in the binary.
//!
//! The pages load their scripts from this server, so that the content security policy can forbid all other
//! scripts, inline ones included. Some of their styles are made at run time, and need inline styles to be
//! allowed.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use crate::http::api::Api;
use crate::http::error::{ApiError, Code};

/// The pages' content security policy. Redoc searches in a worker that it makes from a blob.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const REDOC_INITIALIZER: &str =
    "Redoc.init('/openapi.json', {hideDownloadButton: false}, document.getElementById('redoc'));\n";

/// An image that Redoc would load from a public server, and the empty image that replaces it.
const REDOC_LOGO: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const NO_LOGO: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";

/// Redoc's script, cut out of the page that `aide` makes.
static REDOC_SCRIPT: LazyLock<Bytes> = LazyLock::new(|| {
    let page = aide::redoc::Redoc::new("").html();
    let after_tag = page.split_once("<script>").map_or("", |(_, rest)| rest);
    let script = after_tag.rsplit_once("Redoc.init(").map_or("", |(script, _)| script);
    script.replace(REDOC_LOGO, NO_LOGO).into()
});

static SWAGGER_CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // The default validator is a public server.
    let config = Config::new(["/openapi.json"]).validator_url("none");
    Arc::new(config.display_operation_id(true).display_request_duration(true).deep_linking(true))
});

/// The OpenAPI document.
pub(crate) async fn get_document(request: HttpRequest) -> HttpResponse {
    file("application/json", Api::of(&request).document.clone().into())
}

/// Swagger UI's page.
pub(crate) async fn get_docs() -> HttpResponse {
    page(
        "<link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\">\n",
        r#"<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>"#,
    )
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
    page(
        "",
        r#"<div id="redoc"></div>
<script src="/redoc/redoc.standalone.js"></script>
<script src="/redoc/redoc-initializer.js"></script>"#,
    )
}

/// Redoc's files.
pub(crate) async fn get_redoc_file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let script = match name.as_str() {
        "redoc.standalone.js" => REDOC_SCRIPT.clone(),
        "redoc-initializer.js" => Bytes::from_static(REDOC_INITIALIZER.as_bytes()),
        _ => return Err(not_found()),
    };
    Ok(file("text/javascript", script))
}

/// 404 for a file that does not exist.
pub(crate) fn not_found() -> ApiError {
    ApiError::new(Code::NotFound, "Not Found")
}

fn page(style: &str, body: &str) -> HttpResponse {
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasklane API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
{style}</head>
<body>
{body}
</body>
</html>
"#
    );
    page_with_policy(html.into(), POLICY)
}

/// A page with its content security policy.
pub(crate) fn page_with_policy(html: Bytes, policy: &'static str) -> HttpResponse {
    let mut response = file("text/html; charset=utf-8", html);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// A file. Browsers ask each time whether their copy is current.
pub(crate) fn file(content_type: &str, bytes: Bytes) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(content_type).insert_header((CACHE_CONTROL, "no-cache")).body(bytes)
}
