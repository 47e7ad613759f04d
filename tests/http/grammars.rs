//! Every grammar of ours against the document that it comes from, in both directions: what the document has is
//! accepted, and nothing else. The texts are made from the document's own rules, and by small changes to them.
//!
//! Not here: entity tags, cursors and seqs with a lineage, which are compared with what was issued
//! (`src/http/request/conditional.rs`, `src/lane/read/page.rs`), and `traceparent`, of which a wrong one is ignored
//! (`src/http/middleware/trace_context.rs`).

use actix_web::http::header::HeaderValue;
use actix_web::test::{TestRequest, init_service};
use clap::{Args, Command, FromArgMatches};
use tasklane::config::{Config, Settings};
use tasklane::domain::{DueDate, Position, TaskId, Timestamp};
use tasklane::http;

use crate::abnf::Grammar;
use crate::harness::{alice, api, send};

/// A grammar and its reader.
struct Row<A> {
    name: &'static str,
    /// The document's rules; the first one counts.
    rules: &'static str,
    /// What the document says beside the rules.
    holds: fn(&str) -> bool,
    accepts: A,
}

/// Whether a reader takes a text.
type Reads = fn(&str) -> bool;

/// The request that carries a text, if one can.
type Carries = fn(&str) -> Option<TestRequest>;

/// Texts of each row.
const TEXTS: usize = 3000;

impl<A> Row<A> {
    /// Texts, and whether the document has them.
    fn cases(&self, count: usize) -> Vec<(String, bool)> {
        let grammar = Grammar::new(self.rules);
        let rule = self.rules.split('=').next().unwrap().trim();
        let cases = grammar.texts(rule, count).map(|text| {
            let has = grammar.has(rule, &text) && (self.holds)(&text);
            (text, has)
        });
        let cases: Vec<_> = cases.collect();
        let inside = cases.iter().filter(|(_, has)| *has).count();
        assert!(inside > count / 20 && inside < count * 19 / 20, "{}: {inside} of {count}", self.name);
        cases
    }
}

/// RFC 3339, section 5.6, with the ranges of its comments.
const DUE_DATE: &str = r#"due-date = full-date / date-time
date-fullyear = 4DIGIT
date-month = "0" %x31-39 / "1" %x30-32 ; 01-12
date-mday = "0" %x31-39 / ( "1" / "2" ) DIGIT / "3" ( "0" / "1" ) ; 01-28, 01-29, 01-30, 01-31 based on month/year
time-hour = ( "0" / "1" ) DIGIT / "2" %x30-33 ; 00-23
time-minute = %x30-35 DIGIT ; 00-59
time-second = %x30-35 DIGIT / "60" ; 00-58, 00-59, 00-60 based on leap second rules
time-secfrac = "." 1*DIGIT
time-numoffset = ("+" / "-") time-hour ":" time-minute
time-offset = "Z" / time-numoffset
partial-time = time-hour ":" time-minute ":" time-second [time-secfrac]
full-date = date-fullyear "-" date-month "-" date-mday
full-time = partial-time time-offset
date-time = full-date "T" full-time"#;

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

/// Minutes from the start of the date's own day in UTC to the time; and whether its second is 60.
fn minutes(text: &str) -> (i64, bool) {
    let offset = match text.as_bytes()[text.len() - 1] {
        b'Z' | b'z' => 0,
        _ => {
            let offset = &text[text.len() - 6..];
            let minutes = number(&offset[1..3]) * 60 + number(&offset[4..]);
            if offset.starts_with('-') { -minutes } else { minutes }
        }
    };
    (number(&text[11..13]) * 60 + number(&text[14..16]) - offset, &text[17..19] == "60")
}

/// The year from 1 to 9999, the day within its month (appendix C), a leap second only where UTC has one (section 5.7),
/// and the year within four digits once it is carried.
fn is_date(text: &str) -> bool {
    let (year, month, day) = (number(&text[..4]), number(&text[5..7]), number(&text[8..10]));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_day = year > 0 && day <= days[usize::try_from(month).unwrap() - 1];
    let is_second = text.len() == 10
        || match minutes(text) {
            (minutes, true) => {
                minutes.rem_euclid(1440) == 1439 && (&text[..10], &text[11..16]) != ("9999-12-31", "23:59")
            }
            _ => true,
        };
    is_day && is_second
}

/// It is written in UTC, so its year must have four digits there, too.
fn is_instant(text: &str) -> bool {
    let (minutes, is_leap) = minutes(text);
    let below = text.starts_with("0001-01-01") && minutes < 0;
    let above = text.starts_with("9999-12-31") && minutes + i64::from(is_leap) >= 1440;
    is_date(text) && !below && !above
}

#[test]
fn values_of_fields_are_read_by_their_documents() {
    let instant =
        DUE_DATE.replacen("due-date = full-date / date-time", "instant = full-date \"T\" full-time", 1);
    // Most years are far from both ends.
    let edges = "edge = full-date \"T\" full-time / ( \"0001-01-01\" / \"9999-12-31\" ) \"T\" ( full-time / \"23:59:60\" time-offset )\n";
    let edges = format!("{edges}{}", DUE_DATE.split_once('\n').unwrap().1);
    let rows: [Row<Reads>; 6] = [
        Row {
            name: "due_date",
            rules: DUE_DATE,
            // Documented: nine decimals at most.
            holds: |text| text.len() <= 35 && is_date(text),
            accepts: |text| DueDate::parse(text).is_some_and(|due| due.as_str() == text),
        },
        Row {
            name: "an instant of an import",
            rules: Box::leak(instant.into_boxed_str()),
            holds: is_instant,
            accepts: |text| Timestamp::parse(text).is_some(),
        },
        Row {
            name: "an instant at either end",
            rules: Box::leak(edges.clone().into_boxed_str()),
            holds: is_instant,
            accepts: |text| Timestamp::parse(text).is_some(),
        },
        Row {
            name: "a due date at either end",
            rules: Box::leak(edges.into_boxed_str()),
            holds: |text| text.len() <= 35 && is_date(text),
            accepts: |text| DueDate::parse(text).is_some(),
        },
        Row {
            name: "an id",
            // RFC 9562, section 4.
            rules: "UUID = 4hexOctet \"-\" 2hexOctet \"-\" 2hexOctet \"-\" 2hexOctet \"-\" 6hexOctet\nhexOctet = HEXDIG HEXDIG",
            holds: |_| true,
            accepts: |text| TaskId::parse(text).is_some(),
        },
        Row {
            name: "position",
            // docs/api.md.
            rules: "position = 1*64( %x20-7E )",
            holds: |_| true,
            accepts: |text| Position::parse(text).is_some_and(|position| position.as_str() == text),
        },
    ];
    for row in rows {
        for (text, has) in row.cases(TEXTS) {
            assert_eq!((row.accepts)(&text), has, "{}: {text:?}", row.name);
        }
    }
    for form in [
        "{0b8f6a52-1d0e-4b7a-9c58-2f6d1e0b4a01}",
        "urn:uuid:0b8f6a52-1d0e-4b7a-9c58-2f6d1e0b4a01",
        "0b8f6a521d0e4b7a9c582f6d1e0b4a01",
    ] {
        assert!(TaskId::parse(form).is_none(), "{form}");
    }
}

/// Whether a number of digits is from `least` to `most`.
fn is_within(text: &str, least: u128, most: u128) -> bool {
    let digits = text.trim_start_matches('0');
    digits.len() < 30 && (least..=most).contains(&format!("0{digits}").parse().unwrap())
}

/// Whether the settings with this one are accepted; white space around it is not part of it.
fn is_setting(flag: &str, text: &str) -> bool {
    let given = Settings::augment_args(Command::new("test"))
        .try_get_matches_from(["test", &format!("--{flag}={text}")]);
    Config::check(&Settings::from_arg_matches(&given.unwrap()).unwrap()).is_ok()
}

#[test]
fn settings_that_are_rates_sizes_and_durations_are_read_by_the_reference() {
    // The table of settings in README.md.
    let rows: [Row<Reads>; 3] = [
        Row {
            name: "a rate",
            rules: "setting = OWS [ %s\"off\" / number [ \":\" number ] ] OWS\nnumber = 1*DIGIT",
            holds: |text| {
                let text = text.trim();
                matches!(text, "" | "off") || text.split(':').all(|number| is_within(number, 1, 1_000_000))
            },
            accepts: |text| is_setting("rate-limit-per-user", text),
        },
        Row {
            name: "a size",
            rules: "setting = OWS [ %x31-39 3*8DIGIT / 1*DIGIT ] OWS",
            holds: |text| text.trim().is_empty() || is_within(text.trim(), 1 << 10, 64 << 20),
            accepts: |text| is_setting("max-body-bytes", text),
        },
        Row {
            name: "a duration",
            rules: "setting = OWS [ 1*4DIGIT ] OWS",
            holds: |text| text.trim().is_empty() || is_within(text.trim(), 1, 3600),
            accepts: |text| is_setting("shutdown-timeout", text),
        },
    ];
    for row in rows {
        for (text, has) in row.cases(400) {
            if text.trim() != text.trim_matches([' ', '\t']) {
                // Other white space around it is cut as well.
                continue;
            }
            assert_eq!((row.accepts)(&text), has, "{}: {text:?}", row.name);
        }
    }
    for (flag, text) in
        [("rate-limit-per-user", "+5"), ("rate-limit-per-user", "5:+5"), ("max-body-bytes", "+65536")]
    {
        assert!(!is_setting(flag, text), "{flag}={text}");
    }
}

/// A query parameter, every byte encoded.
fn query(name: &str, text: &str) -> TestRequest {
    let encoded = text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
    alice("GET", &format!("/api/me/tasks?{name}={encoded}"))
}

/// A create with a header; `None` where no HTTP message can have it.
fn create(name: &'static str, text: &str) -> Option<TestRequest> {
    let value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    let request = alice("POST", "/api/me/tasks").insert_header(("content-type", "application/json"));
    Some(request.insert_header((name, value)).set_payload(r#"{"title":"a"}"#))
}

#[actix_web::test]
async fn parameters_and_headers_are_read_by_their_documents() {
    let rows: [Row<Carries>; 7] = [
        Row {
            name: "limit",
            // docs/api.md and openapi.json: a whole number.
            rules: "integer = 1*DIGIT",
            holds: |text| is_within(text, 1, 500),
            accepts: |text| Some(query("limit", text)),
        },
        Row {
            name: "updated_since_seq",
            rules: "integer = 1*DIGIT / \"922337203685477580\" DIGIT",
            holds: |text| is_within(text, 0, i64::MAX as u128),
            // With a lineage after a dash it is another grammar.
            accepts: |text| (!text.contains('-')).then(|| query("updated_since_seq", text)),
        },
        Row {
            name: "completed",
            rules: "boolean = %s\"true\" / %s\"false\"",
            holds: |_| true,
            accepts: |text| Some(query("completed", text)),
        },
        Row {
            name: "priority",
            rules: "priority = [ %s\"low\" / %s\"medium\" / %s\"high\" / %s\"urgent\" / %s\"critical\" / %s\"none\" ]",
            holds: |_| true,
            accepts: |text| Some(query("priority", text)),
        },
        Row {
            name: "sort",
            rules: "sort = [ \"-\" ] ( %s\"created_at\" / %s\"updated_at\" / %s\"due_date\" / %s\"priority\" / %s\"title\" / %s\"position\" )",
            holds: |_| true,
            accepts: |text| Some(query("sort", text)),
        },
        Row {
            name: "Idempotency-Key",
            // RFC 8941, section 3.3.3, or the bare text; docs/api.md: 1 to 255 characters.
            rules: r#"key = OWS ( sf-string / %x21 *( %x20-7E ) / %x23-7E *( %x20-7E ) ) OWS
sf-string = DQUOTE *chr DQUOTE
chr = unescaped / escaped
unescaped = %x20-21 / %x23-5B / %x5D-7E
escaped = "\" ( DQUOTE / "\" )"#,
            holds: |text| !matches!(text.trim_matches([' ', '\t']), "" | "\"\""),
            accepts: |text| create("idempotency-key", text),
        },
        Row {
            name: "Content-Type",
            // RFC 9110, sections 8.3.1 and 5.6.2, of application/json and application/*+json; whatever the parameters.
            rules: r#"media-type = OWS "application/" ( "json" / token "+json" ) OWS [ ";" *( HTAB / %x20-7E ) ]
token = 1*tchar
tchar = "!" / %x23-27 / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA"#,
            holds: |_| true,
            accepts: |text| create("content-type", text),
        },
    ];
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for row in rows {
        for (text, has) in row.cases(500) {
            let Some(request) = (row.accepts)(&text) else { continue };
            let answer = send(&app, request).await;
            assert_eq!(answer.status < 300, has, "{}: {text:?} gives {}", row.name, answer.status);
            if !has {
                let (status, code) = if row.name == "Content-Type" {
                    (415, "UNSUPPORTED_MEDIA_TYPE")
                } else {
                    (422, "VALIDATION_ERROR")
                };
                answer.is_error(status, code);
            }
        }
    }
}
