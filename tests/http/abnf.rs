//! Grammars as their documents print them (ABNF, RFC 5234 and 7405): whether a text is in one, and texts that are, or
//! nearly. So a parser's oracle is its document, not its code.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// What a rule is made of.
enum Part {
    /// Characters in a row; whether their case counts.
    Text(String, bool),
    /// One character of a range.
    Range(char, char),
    /// One after the other.
    All(Vec<Part>),
    /// One of them.
    One(Vec<Part>),
    /// So many times, at least and at most.
    Times(usize, usize, Box<Part>),
    /// Another rule.
    Rule(String),
}

/// The rules of a document, by name.
pub struct Grammar(BTreeMap<String, Part>);

/// Reads the elements of a rule.
struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.0.next_if(|next| next.is_whitespace()).is_some() {}
    }

    fn word(&mut self, is: fn(char) -> bool) -> String {
        std::iter::from_fn(|| self.0.next_if(|next| is(*next))).collect()
    }

    fn choice(&mut self) -> Part {
        let mut choices = vec![self.row()];
        while self.0.next_if_eq(&'/').is_some() {
            choices.push(self.row());
        }
        Part::One(choices)
    }

    fn row(&mut self) -> Part {
        let mut row = Vec::new();
        loop {
            self.blanks();
            if matches!(self.0.peek(), None | Some('/' | ')' | ']')) {
                return Part::All(row);
            }
            row.push(self.repeated());
        }
    }

    fn repeated(&mut self) -> Part {
        let least = self.word(|next| next.is_ascii_digit());
        let many = self.0.next_if_eq(&'*').is_some();
        let most = if many { self.word(|next| next.is_ascii_digit()) } else { least.clone() };
        let part = self.single();
        if !many && least.is_empty() {
            return part;
        }
        Part::Times(least.parse().unwrap_or(0), most.parse().unwrap_or(usize::MAX), Box::new(part))
    }

    fn single(&mut self) -> Part {
        let part = match self.0.next().unwrap() {
            '(' => self.choice(),
            '[' => Part::Times(0, 1, Box::new(self.choice())),
            '"' => Part::Text(self.word(|next| next != '"'), false),
            '%' if self.0.next_if_eq(&'s').is_some() => {
                self.0.next();
                Part::Text(self.word(|next| next != '"'), true)
            }
            '%' => {
                self.0.next();
                let mut number = || {
                    let digits = self.word(|next| next.is_ascii_hexdigit());
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                };
                let first = number();
                let last = if self.0.next_if_eq(&'-').is_some() {
                    let digits = self.word(|next| next.is_ascii_hexdigit());
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                } else {
                    first
                };
                return Part::Range(first, last);
            }
            first => {
                let rest = self.word(|next| next.is_ascii_alphanumeric() || next == '-');
                return Part::Rule(format!("{first}{rest}"));
            }
        };
        self.0.next();
        part
    }
}

impl Grammar {
    /// Reads rules, one a line, with comments after `;`. `DIGIT`, `HEXDIG` and the like are known.
    pub fn new(rules: &str) -> Self {
        const CORE: &str = "ALPHA = %x41-5A / %x61-7A\nDIGIT = %x30-39\nHEXDIG = DIGIT / \"A\" / \"B\" / \"C\" / \"D\" / \"E\" / \"F\"\n\
            DQUOTE = %x22\nSP = %x20\nHTAB = %x09\nOWS = *( SP / HTAB )";
        let lines = CORE.lines().chain(rules.lines()).filter(|line| line.contains('='));
        let rules = lines.map(|line| {
            // No quoted text of ours has a semicolon before its rule's comment.
            let (name, elements) = line.split_once('=').unwrap();
            let elements = elements.split(" ; ").next().unwrap();
            (name.trim().to_owned(), Reader(elements.chars().peekable()).choice())
        });
        Self(rules.collect())
    }

    /// Whether all of a text is in a rule.
    pub fn has(&self, rule: &str, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.ends(&self.0[rule], &text, 0).contains(&text.len())
    }

    /// Where a part of the text that is in `part` and begins at `at` may end.
    fn ends(&self, part: &Part, text: &[char], at: usize) -> BTreeSet<usize> {
        match part {
            Part::Text(wanted, exact) => {
                let end = at + wanted.chars().count();
                let given: Option<String> = text.get(at..end).map(|given| given.iter().collect());
                let same = given.is_some_and(|given| {
                    if *exact { given == *wanted } else { given.eq_ignore_ascii_case(wanted) }
                });
                same.then_some(end).into_iter().collect()
            }
            Part::Range(first, last) => {
                let inside = text.get(at).is_some_and(|given| (first..=last).contains(&given));
                inside.then_some(at + 1).into_iter().collect()
            }
            Part::All(parts) => parts.iter().fold(BTreeSet::from([at]), |starts, part| {
                starts.into_iter().flat_map(|start| self.ends(part, text, start)).collect()
            }),
            Part::One(parts) => parts.iter().flat_map(|part| self.ends(part, text, at)).collect(),
            Part::Times(least, most, part) => {
                let (mut all, mut after) = (BTreeSet::new(), BTreeSet::from([at]));
                for count in 0..=(*most).min(text.len() + 1) {
                    if count >= *least {
                        all.extend(&after);
                    }
                    after = after.into_iter().flat_map(|start| self.ends(part, text, start)).collect();
                }
                all
            }
            Part::Rule(name) => self.ends(&self.0[name], text, at),
        }
    }

    /// Adds a text of a part.
    fn write(&self, part: &Part, random: &mut StdRng, text: &mut String) {
        match part {
            Part::Text(wanted, exact) => {
                text.extend(wanted.chars().map(|letter| match random.random_range(0..8) {
                    0 if !exact => letter.to_ascii_lowercase(),
                    1 if !exact => letter.to_ascii_uppercase(),
                    _ => letter,
                }));
            }
            Part::Range(first, last) => text.push(random.random_range(*first..=*last)),
            Part::All(parts) => parts.iter().for_each(|part| self.write(part, random, text)),
            Part::One(parts) => self.write(parts.choose(random).unwrap(), random, text),
            Part::Times(least, most, part) => {
                let most = (*most).min(least + [0, 1, 2, 5, 12].choose(random).unwrap());
                (0..random.random_range(*least..=most)).for_each(|_| self.write(part, random, text));
            }
            Part::Rule(name) => self.write(&self.0[name], random, text),
        }
    }

    /// Texts of a rule, and texts made from them by one or two small changes, which may be in the rule or not.
    pub fn texts(&self, rule: &str, count: usize) -> impl Iterator<Item = String> {
        let mut random = StdRng::seed_from_u64(7);
        (0..count).map(move |number| {
            let mut text = String::new();
            self.write(&self.0[rule], &mut random, &mut text);
            let mut text: Vec<char> = text.chars().collect();
            for _ in 0..number % 3 {
                change(&mut text, &mut random);
            }
            text.into_iter().collect()
        })
    }
}

/// Makes one small change, of the kind that lenient parsers let pass.
fn change(text: &mut Vec<char>, random: &mut StdRng) {
    const ODD: [char; 30] = [
        ' ', '\t', '+', '-', '\u{2212}', '\u{2010}', '0', '9', '5', '٣', '５', '.', ',', ':', 'T', 't', 'Z',
        'z', 'e', 'x', '_', '/', '"', '\\', '=', 'é', 'K', '\u{feff}', '\u{a0}', 'W',
    ];
    let odd = *ODD.choose(random).unwrap();
    let at = random.random_range(0..=text.len());
    match random.random_range(0..5) {
        0 => text.insert(at, odd),
        1 if at < text.len() => text[at] = odd,
        2 if at < text.len() => drop(text.remove(at)),
        3 if at < text.len() => text.insert(at, text[at]),
        4 if at + 1 < text.len() => text.swap(at, at + 1),
        _ => text.push(odd),
    }
}

#[test]
fn the_oracle_itself_says_what_the_document_says() {
    let grammar = Grammar::new("a = 1*2DIGIT [ \"x\" ] *( \",\" %s\"Q\" ) / %x61-63 ; comment");
    for text in ["1", "12", "12x", "1X", "1,Q,Q", "b"] {
        assert!(grammar.has("a", text), "{text}");
    }
    for text in ["", "123", "x", "1,q", "1,", "d", "1 "] {
        assert!(!grammar.has("a", text), "{text}");
    }
    let inside = grammar.texts("a", 300).filter(|text| grammar.has("a", text)).count();
    assert!((100..290).contains(&inside), "{inside} of 300 are inside");
}
