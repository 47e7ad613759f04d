//! Titles and descriptions: measured in Unicode scalar values, kept exactly.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::support::{Server, Store, id, on_both_stores, send};

on_both_stores!(
    a_title_has_one_to_two_hundred_characters_of_any_width,
    a_title_is_trimmed_of_unicode_white_space_before_it_is_measured,
    a_description_has_at_most_two_thousand_characters_of_any_width,
    a_description_is_never_trimmed,
    the_character_u0000_is_refused_in_both,
    every_other_character_is_kept,
    json_escapes_mean_the_same_as_the_characters,
    the_limits_hold_for_updates_too,
);

/// Characters of one, two, three and four bytes.
const WIDTHS: [&str; 4] = ["x", "é", "用", "🦀"];

async fn a_title_has_one_to_two_hundred_characters_of_any_width(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for character in WIDTHS {
        for count in [1, 199, 200] {
            let title = character.repeat(count);
            assert_eq!(ann.create(&title).await["title"], title);
        }
        for count in [201, 4000] {
            let answer = ann.post(&json!({"title": character.repeat(count)})).await;
            assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["title"]);
        }
    }
    // A family emoji of seven scalar values counts as seven characters.
    let family = "👨‍👩‍👧‍👦";
    assert_eq!(family.chars().count(), 7);
    ann.create(&family.repeat(28)).await;
    ann.post(&json!({"title": family.repeat(29)})).await.expect_error(422, "VALIDATION_ERROR");
}

async fn a_title_is_trimmed_of_unicode_white_space_before_it_is_measured(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let white =
        " \t\n\u{b}\u{c}\r\u{85}\u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
    assert_eq!(ann.create(&format!("{white}a{white}b{white}")).await["title"], format!("a{white}b"));
    let known = id(&ann.create("known").await).to_owned();
    let longest = "🦀".repeat(200);
    assert_eq!(ann.create(&format!("{white}{longest}{white}")).await["title"], longest);
    for empty in ["", " ", white] {
        let answer = ann.post(&json!({"title": empty})).await;
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["title"]);
    }
    // These are not white space, but show nothing either.
    for invisible in ["\u{200b}", "\u{feff}", "\u{2060}", " \u{ad}\u{3000}\u{202e} "] {
        for answer in [
            ann.post(&json!({"title": invisible})).await,
            ann.put(&known, &json!({"title": invisible})).await,
        ] {
            assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["title"], "{invisible:?}");
        }
        let shown = format!("{invisible}a").trim().to_owned();
        assert_eq!(ann.create(&shown).await["title"], shown);
    }
}

async fn a_description_has_at_most_two_thousand_characters_of_any_width(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for character in WIDTHS {
        for count in [0, 1, 2000] {
            let description = character.repeat(count);
            let task = ann.post(&json!({"title": "t", "description": description})).await.expect(201).json();
            assert_eq!(task["description"], description);
        }
        let answer = ann.post(&json!({"title": "t", "description": character.repeat(2001)})).await;
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["description"]);
    }
}

async fn a_description_is_never_trimmed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for description in ["", " ", "\n a \n", "\u{3000}", "a\r\nb\tc "] {
        let task = ann.post(&json!({"title": "t", "description": description})).await.expect(201).json();
        assert_eq!(task["description"], description);
        let other = ann.create("u").await;
        let updated = ann.patch(id(&other), &json!({"description": description})).await.expect(200).json();
        assert_eq!(updated["description"], description);
    }
    // White space counts: 2,001 characters are not trimmed to fit.
    let answer = ann.post(&json!({"title": "t", "description": " ".repeat(2001)})).await;
    answer.expect_error(422, "VALIDATION_ERROR");
}

async fn the_character_u0000_is_refused_in_both(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("t").await;
    for text in ["\0", "a\0", "\0a", "a\0b", "\0 "] {
        let (title, description) = (json!({"title": text}), json!({"title": "t", "description": text}));
        assert_eq!(ann.post(&title).await.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["title"]);
        let answer = ann.post(&description).await;
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["description"]);
        ann.put(id(&task), &title).await.expect_error(422, "VALIDATION_ERROR");
        ann.patch(id(&task), &description).await.expect_error(422, "VALIDATION_ERROR");
    }
    assert_eq!(ann.list().await, [task]);
}

async fn every_other_character_is_kept(store: Store) {
    let server = Server::start(&store);
    let texts = [
        "\u{1}\u{2}\u{1f}\u{7f}",
        r#"quotes " ' ` and \ and / and </script>"#,
        "'; DROP TABLE tasks; --",
        "%s %d {} ${x} \\u0000",
        "e\u{301} is not é",
        "\u{202e}right to left\u{200f}",
        "\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{ffff}\u{10ffff}",
        "null",
        "{\"json\":[1]}",
        "a\u{2028}b",
    ];
    let mut expected = Vec::new();
    {
        let ann = server.user("ann");
        for text in texts {
            let answer = ann.post(&json!({"title": text, "description": text})).await.expect(201);
            let task = answer.json();
            assert_eq!((&task["title"], &task["description"]), (&json!(text), &json!(text)));
            expected.insert(0, task);
        }
    }
    server.stop();
    // The same from the store.
    let server = Server::start(&store);
    assert_eq!(server.user("ann").list().await, expected);
}

async fn json_escapes_mean_the_same_as_the_characters(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let post = |body: &'static str| {
        send(ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json").body(body))
    };
    let task = post(r#"{"\u0074itle":"\ud83e\udd80\u00e9\n\/"}"#).await.expect(201).json();
    assert_eq!(task["title"], "🦀é\n/");
    for broken in [
        r#"{"title":"\ud83e"}"#,
        r#"{"title":"\udd80\ud83e"}"#,
        r#"{"title":"\x41"}"#,
        "{\"title\":\"a\nb\"}",
    ] {
        post(broken).await.expect_error(422, "VALIDATION_ERROR");
    }
}

async fn the_limits_hold_for_updates_too(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("t").await;
    let (longest, description) = ("🦀".repeat(200), "é".repeat(2000));
    let body = json!({"title": format!("\u{a0}{longest}\u{2003}"), "description": description});
    let updated = ann.put(id(&task), &body).await.expect(200).json();
    assert_eq!((&updated["title"], &updated["description"]), (&json!(longest), &json!(description)));
    let too_long = json!({"title": format!("{longest}x"), "description": format!("{description}x")});
    for answer in [ann.put(id(&task), &too_long).await, ann.patch(id(&task), &too_long).await] {
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["description", "title"]);
    }
    let answer = ann.patch(id(&task), &json!({"title": "\u{3000}"})).await;
    assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["title"]);
    assert_eq!(ann.list().await, [updated]);
}
