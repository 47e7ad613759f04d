//! What Unicode says of texts: which are the same whatever their case and form, which show nothing, and how they sort.
//!
//! The data is that of ICU4X, compiled in. Nothing that is made here is stored: a later Unicode may say otherwise.

use std::borrow::Cow;
use std::sync::LazyLock;

use icu_casemap::CaseMapper;
use icu_collator::CollatorBorrowed;
use icu_collator::options::CollatorOptions;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

/// Folds a text: its NFKC form, in full case folding (Unicode, section 3.13). So texts can be compared, and searched
/// for, without regard to case, or to how their characters are composed.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    if text.is_ascii() {
        let is_folded = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_folded { text.into() } else { text.to_ascii_lowercase().into() };
    }
    let folded = fold_case(&NFKC.normalize(text));
    if NFKC.is_normalized(&folded) { folded.into() } else { NFKC.normalize(&folded).into_owned().into() }
}

/// Full case folding, which looks at each character by itself. Runs of ASCII, most of many texts, need no table.
fn fold_case(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (ascii, other) = rest.split_at(rest.find(|next: char| !next.is_ascii()).unwrap_or(rest.len()));
        let (other, after) = other.split_at(other.find(|next: char| next.is_ascii()).unwrap_or(other.len()));
        folded.push_str(ascii);
        folded.push_str(&CaseMapper::new().fold_string(other));
        rest = after;
    }
    folded.make_ascii_lowercase();
    folded
}

/// Whether a text shows nothing: it is empty, or all of it is white space or format characters (category Cf, which has
/// U+200B and U+FEFF).
pub(super) fn is_blank(text: &str) -> bool {
    let is_format =
        |character| CodePointMapData::<GeneralCategory>::new().get(character) == GeneralCategory::Format;
    text.chars().all(|character| character.is_whitespace() || is_format(character))
}

/// Bytes that sort as Unicode's collation sorts texts where no language is known (the root of CLDR).
pub(super) fn collation_key(text: &str) -> Vec<u8> {
    static ROOT: LazyLock<CollatorBorrowed<'static>> =
        LazyLock::new(|| CollatorBorrowed::new_root(CollatorOptions::default()));
    let mut key = Vec::with_capacity(text.len() + text.len() / 2 + 8);
    let Ok(()) = ROOT.write_sort_key_to(text, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use icu_normalizer::DecomposingNormalizerBorrowed;
    use proptest::prelude::*;

    #[test]
    fn texts_fold_as_unicodes_own_tables_say() {
        // CaseFolding.txt (C and F), NormalizationTest.txt, and the examples of UAX 15.
        for (text, folded) in [
            ("Straße", "strasse"),
            ("STRA\u{1e9e}E", "strasse"),
            ("ΟΔΥΣΣΕΥΣ οδυσσευς", "οδυσσευσ οδυσσευσ"),
            ("İ", "i\u{307}"),
            ("ı", "ı"),
            ("\u{149}", "\u{2bc}n"),
            ("ﬃ ŒUVRE", "ffi œuvre"),
            ("\u{1fb3}", "αι"),
            ("K Å ſ µ ϴ", "k å s μ θ"),
            ("ꭰ", "Ꭰ"),
            ("Ⅷ ① ｶﾞ Ｗ", "viii 1 ガ w"),
            ("cafe\u{301}", "café"),
            ("\u{1e9b}\u{323}", "ṩ"),
            ("a\u{345}\u{301}", "áι"),
            ("\u{10400}", "\u{10428}"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
        assert!(matches!(fold("plain text"), Cow::Borrowed(_)), "the usual text is not copied");
        assert_ne!(fold("a"), fold("á"));
    }

    #[test]
    fn every_character_folds_like_its_forms_and_folding_twice_changes_nothing() {
        let forms = [DecomposingNormalizerBorrowed::new_nfd(), DecomposingNormalizerBorrowed::new_nfkd()];
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            let folded = fold(&text);
            assert_eq!(fold(&folded), folded, "{character:?} folds to itself");
            for form in forms.each_ref().map(|form| form.normalize(&text)) {
                assert_eq!(fold(&form), folded, "{character:?} is {form:?}");
            }
            // Case as the standard library knows it. Turkish is another matter: dotless ı has the capital I.
            let cases = [text.to_lowercase(), text.to_uppercase()];
            for case in cases.iter().filter(|_| character != 'ı') {
                assert_eq!(fold(case), folded, "{character:?} is {case:?}");
            }
        }
    }

    #[test]
    fn only_what_shows_nothing_is_blank() {
        for text in ["", " \t", "\u{200b}", "\u{feff}", "\u{ad}", "\u{2060}\u{3000}", "\u{e0020}", "\u{600}"]
        {
            assert!(is_blank(text), "{text:?}");
        }
        for text in ["a", "\u{200b}a", "\u{301}", "\u{0}", "\u{7}", "\u{fe0f}", "\u{e000}"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_folds_like_its_other_cases_and_forms(text in "[a-zA-ZßẞäÄéſİΣςσǰᾳᾼ가ﬁ\u{300}-\u{345}\u{323}]{0,12}") {
            let folded = fold(&text);
            prop_assert_eq!(fold(&folded), &*folded);
            let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
            // Casing keeps a text's meaning only where its accents stand in their order.
            let normal = ComposingNormalizerBorrowed::new_nfkc().normalize(&text);
            for form in [normal.to_lowercase(), normal.to_uppercase(), nfkd.normalize(&text).into_owned()] {
                prop_assert_eq!(fold(&form), &*folded, "{:?}", form);
            }
        }

        #[test]
        fn keys_sort_as_the_collator_does(one in "[a-cA-Cäß \u{301}_1-3中]{0,6}", other in "\\PC{0,6}|[a-cA-Cäß]{0,6}") {
            let root = CollatorBorrowed::new_root(CollatorOptions::default());
            prop_assert_eq!(collation_key(&one).cmp(&collation_key(&other)), root.compare(&one, &other));
        }
    }
}
