//! The query parameters of a list. All faults are listed.

use std::sync::LazyLock;

use utoipa::{IntoParams, ToSchema};

use super::conditional::REVISION;
use super::form::{documented, text};
use super::json_fields::one_of;
use super::query::{Parameters, number};
use super::task_body::{PriorityName, Tag};
use crate::domain::{Due, DueDate, Filter, GivenRevision, Lineage, Priority, Sort, SortField, Tags, fold};
use crate::http::error::ApiError;
use crate::lane::{Query, parse_cursor};

/// Tasks of one page, or changes of one response, at most; also in schemas and in errors' messages.
pub(crate) const MAX_PAGE: usize = 500;

/// Tasks of one page with a `cursor` but no `limit`.
const DEFAULT_PAGE: usize = 100;

/// Characters of a text to search for, at most; also in the schema and in an error's message.
const MAX_SEARCH: usize = 200;

/// The query parameters of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct TaskQuery {
    /// Only completed tasks, or only open ones
    #[param(required = false)]
    completed: Option<bool>,
    /// The same as `completed`, by name
    #[param(required = false)]
    status: Option<Status>,
    /// Only tasks with this priority; `none`, only tasks without one
    #[param(required = false)]
    priority: Option<PriorityName>,
    /// Only tasks with this tag, in upper or lower case; given several times, only tasks with all of them
    #[param(required = false, max_items = 20, example = json!(["home"]))]
    tag: Option<Vec<Tag>>,
    /// Only tasks due before this date or instant; a date counts as its first instant in UTC
    #[param(required = false, example = "2026-03-01")]
    due_before: Option<DueDate>,
    /// Only tasks due after this date or instant
    #[param(required = false, example = "2026-02-01T00:00:00Z")]
    due_after: Option<DueDate>,
    /// Only tasks changed after this seq, best with its lineage
    #[param(required = false)]
    updated_since_seq: Option<GivenRevision>,
    /// Only tasks with this text in title, description or a tag, in upper or lower case, however it is composed
    #[param(required = false, max_length = 200, example = "milk")]
    search: Option<String>,
    /// The order, `-created_at` by default; equal tasks are in the order of their ids, tasks without a value
    /// come last
    #[param(required = false)]
    sort: Option<Sort>,
    /// The direction, for clients that send it beside `sort`; a `-` in `sort` wins
    #[param(required = false)]
    order: Option<Order>,
    /// Tasks of the page, at most; all of them by default, 100 with `cursor`
    #[param(minimum = 1, maximum = 500, required = false)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before; opaque, and valid for the same `sort` only
    #[param(required = false)]
    cursor: Option<String>,
}

/// Reads a list's parameters; also the lineages that they name.
pub(crate) fn parse(query: &str) -> Result<(Query, Vec<Lineage>), ApiError> {
    if query.is_empty() {
        return Ok((Query::default(), Vec::new()));
    }
    let mut given = Parameters::new(query);
    let mut lineages = Vec::new();
    let filter = Filter {
        completed: completed(&mut given),
        priority: given.read("priority", PRIORITY, |name| {
            if PriorityName::is_none(name) { Some(None) } else { Priority::parse(name).map(Some) }
        }),
        tags: tags(&mut given),
        due_before: given.read("due_before", DUE, due),
        due_after: given.read("due_after", DUE, due),
        updated_since: given.read("updated_since_seq", REVISION, GivenRevision::parse).map(|since| {
            lineages.extend(since.lineage);
            since.seq
        }),
        search: search(&mut given),
    };
    let sort = sort(&mut given);
    let limit = given.read("limit", "must be from 1 to 500", |text| number(text, 1..=MAX_PAGE));
    let after =
        given.read("cursor", "must be a `next_cursor` of the same `sort`", |text| parse_cursor(sort, text));
    given.check()?;
    let (after, of_cursor) = after.unzip();
    lineages.extend(of_cursor.flatten());
    let limit = limit.or(after.is_some().then_some(DEFAULT_PAGE));
    Ok((Query { filter, sort, limit, after }, lineages))
}

const PRIORITY: &str = "must be `low`, `medium`, `high`, `urgent` or `none`";

const DUE: &str =
    "must be a date such as `2026-03-01` or an instant such as `2026-03-01T18:00:00Z`, with `+` as `%2B`";

static SORT: LazyLock<String> = LazyLock::new(|| {
    let fields = one_of(SortField::ALL.map(SortField::name));
    format!("must be {fields}, with `-` before it for descending order")
});

documented!(
    Sort as "Sort",
    text("The order of a list; `-` means descending.").enum_values(Some(
        SortField::ALL.into_iter().flat_map(|field| {
            [false, true].map(|descending| Self { field, descending }.to_string())
        })
    ))
);

/// The states of tasks to list.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Status {
    All,
    Pending,
    Completed,
}

/// The direction of an order.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Order {
    Asc,
    Desc,
}

fn completed(given: &mut Parameters) -> Option<bool> {
    let completed = given.read("completed", "must be `true` or `false`", |text| text.parse::<bool>().ok());
    let status = given.read("status", "must be `all`, `pending` or `completed`", |text| match text {
        "all" => Some(Status::All),
        "pending" => Some(Status::Pending),
        "completed" => Some(Status::Completed),
        _ => None,
    });
    let status = status.filter(|status| *status != Status::All).map(|status| status == Status::Completed);
    if completed.is_some_and(|one| status.is_some_and(|other| other != one)) {
        given.note("status", "must not contradict `completed`");
        return None;
    }
    completed.or(status)
}

/// Reads the order. A `-` in `sort` wins over `order`, which by itself is about `created_at`.
fn sort(given: &mut Parameters) -> Sort {
    let descending = given.read("order", "must be `asc` or `desc`", |text| match text {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    });
    let sort = given.read("sort", &SORT, Sort::parse);
    let default = Sort { descending: descending.unwrap_or(true), ..Sort::default() };
    sort.map_or(default, |sort| Sort { descending: sort.descending || descending == Some(true), ..sort })
}

fn tags(given: &mut Parameters) -> Vec<String> {
    let tags = given.all("tag");
    let Ok(tags) = Tags::parse(tags.iter().map(|tag| &**tag)) else {
        given.note("tag", "must be 1 to 50 characters long, and be given 20 times at the most");
        return Vec::new();
    };
    tags.as_slice().iter().map(|tag| fold(tag).into_owned()).collect()
}

/// Reads a date or an instant, even if the `+` of its offset was not encoded, and has become a space.
fn due(text: &str) -> Option<Due> {
    let space = text.len().checked_sub(6).filter(|index| text.as_bytes()[*index] == b' ');
    let due = match space {
        Some(index) => DueDate::parse(&format!("{}+{}", &text[..index], &text[index + 1..])),
        None => DueDate::parse(text),
    };
    due.map(|due| due.due())
}

fn search(given: &mut Parameters) -> Option<String> {
    let text = given.one("search")?;
    if text.chars().count() > MAX_SEARCH {
        given.note("search", "must be at most 200 characters long");
    }
    Some(fold(&text).into_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CursorPosition, Seq, StoreIdentity, TaskId};
    use crate::http::error::Details;
    use crate::lane::cursor;

    fn wrong(query: &str) -> Vec<String> {
        match parse(query).unwrap_err().details.as_deref() {
            Some(Details::Fields(fields)) => fields.iter().map(|fault| fault.field.to_string()).collect(),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn no_parameter_means_the_whole_list_and_unknown_ones_are_ignored() {
        for query in ["", "fields=title&_=1&limits=0&status=all&search="] {
            assert_eq!(parse(query).unwrap(), (Query::default(), Vec::new()));
        }
    }

    #[test]
    fn every_parameter_is_read() {
        let query = parse(
            "completed=true&status=completed&priority=high&tag=a%20b&tag=c&due_before=2026-03-01&\
             due_after=2026-02-01T00:00:00+01:00&updated_since_seq=7&search=STRASSE&sort=-due_date&limit=500",
        );
        let (query, lineages) = query.unwrap();
        assert_eq!(lineages, []);
        let due = |text| DueDate::parse(text).unwrap().due();
        let filter = Filter {
            completed: Some(true),
            priority: Some(Some(Priority::High)),
            tags: vec!["a b".into(), "c".into()],
            due_before: Some(due("2026-03-01")),
            due_after: Some(due("2026-02-01T00:00:00+01:00")),
            updated_since: Some(Seq::new(7)),
            search: Some("strasse".into()),
        };
        let sort = Sort { field: SortField::DueDate, descending: true };
        assert_eq!(query, Query { filter, sort, limit: Some(500), after: None });
        assert_eq!(parse("status=pending").unwrap().0.filter.completed, Some(false));
        assert_eq!(parse("completed=false&status=all").unwrap().0.filter.completed, Some(false));
    }

    #[test]
    fn the_direction_may_stand_beside_the_field() {
        for (query, sort) in [
            ("order=desc", "-created_at"),
            ("order=asc", "created_at"),
            ("sort=title", "title"),
            ("sort=title&order=asc", "title"),
            ("sort=title&order=desc", "-title"),
            ("order=desc&sort=title", "-title"),
            ("sort=-title&order=asc", "-title"),
            ("sort=-title&order=desc", "-title"),
        ] {
            assert_eq!(Some(parse(query).unwrap().0.sort), Sort::parse(sort), "{query}");
        }
        for query in ["order=", "order=ASC", "order=-", "order=asc&order=desc"] {
            assert_eq!(wrong(query), ["order"], "{query}");
        }
    }

    #[test]
    fn a_cursor_without_a_limit_means_pages_of_100() {
        let sort = Sort { field: SortField::Position, descending: false };
        let position = CursorPosition { key: None, id: TaskId::generate() };
        let lineage = StoreIdentity::default().lineage("ann");
        for (given, named) in [(None, vec![]), (Some(lineage), vec![lineage])] {
            let query = format!("sort=position&cursor={}", cursor(sort, &position, given));
            let (read, lineages) = parse(&query).unwrap();
            assert_eq!((read.limit, read.after.as_ref()), (Some(100), Some(&position)));
            assert_eq!(lineages, named);
            assert_eq!(parse(&format!("{query}&limit=7")).unwrap().0.limit, Some(7));
        }
        let since = format!("updated_since_seq=7-{lineage}");
        assert_eq!(parse(&since).unwrap().1, [lineage]);
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let all = "completed=yes&status=done&priority=highest&tag=%20&due_before=soon&due_after=2026-13-01&\
            updated_since_seq=-1&sort=id&limit=0&cursor=x";
        let names = [
            "completed",
            "status",
            "priority",
            "tag",
            "due_before",
            "due_after",
            "updated_since_seq",
            "sort",
            "limit",
            "cursor",
        ];
        assert_eq!(wrong(all), names);
        for (query, name) in [
            ("limit=501", "limit"),
            ("limit=", "limit"),
            ("limit", "limit"),
            ("limit=1&limit=2", "limit"),
            ("completed=true&status=pending", "status"),
            ("sort=", "sort"),
            ("search=%FF", "search"),
            ("due_before=", "due_before"),
        ] {
            assert_eq!(wrong(query), [name], "{query}");
        }
        assert_eq!(wrong(&format!("search={}", "x".repeat(201))), ["search"]);
        let tags: Vec<_> = (0..21).map(|n| format!("tag={n}")).collect();
        assert_eq!(wrong(&tags.join("&")), ["tag"]);
    }
}
