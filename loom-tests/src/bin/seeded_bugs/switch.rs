//! One source with all bugs: a function that bugs are for has a body for each of them, and takes the one that its
//! process is told of.

use std::ops::Range;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::all::bug::Bug;

/// In the environment: the number of the bug that the process has. Without it, the process has none.
pub(crate) const VARIABLE: &str = "SEEDED_BUG";

/// Stands at the end of the crate, for its functions to ask.
const ASKED: &str = r#"
#[allow(unused_extern_crates, unused_imports, reason = "a crate may have std, and no boxes")]
mod seeded {
    extern crate std;
    pub(crate) use std::boxed::Box;
    use std::sync::LazyLock;

    /// The number of the bug that this process has.
    pub(crate) fn bug() -> usize {
        static BUG: LazyLock<usize> =
            LazyLock::new(|| std::env::var("VARIABLE").map_or(0, |bug| bug.parse().expect("it is a number")));
        *BUG
    }
}
"#;

/// Stands before a body with a bug.
const MARK: &str = "// seeded bug ";

/// The root of the crate with the function that all others ask.
pub(crate) fn root(source: &str) -> String {
    format!("{source}{}", ASKED.replace("VARIABLE", VARIABLE))
}

/// A source with all of its bugs, by their numbers.
///
/// # Errors
///
/// The names of those that can't be put in.
pub(crate) fn switched(source: &str, bugs: &[(usize, &Bug)]) -> Result<String, String> {
    let mut changes = Vec::new();
    for (number, bug) in bugs {
        let change = bug.change(source).ok_or_else(|| format!("{}: its line is not there exactly once", bug.name))?;
        changes.push((number, bug, change));
    }
    let mut switched = source.to_owned();
    // The last one first: what is before it stays where it is.
    for Function { opaque, body } in functions(source).into_iter().rev() {
        let (open, close) = if opaque.is_some() { ("crate::seeded::Box::new(", ")") } else { ("", "") };
        let mut arms = String::new();
        changes.retain(|(number, bug, change)| {
            let is_in = body.start < change.place.start && change.place.end < body.end;
            if is_in {
                let (before, after) = (&source[body.start..change.place.start], &source[change.place.end..body.end]);
                arms += &format!("\n{MARK}{}\n{number} => {open}{before}{}{after}{close},", bug.name, change.text);
            }
            !is_in
        });
        if !arms.is_empty() {
            let own = format!("\n{MARK}\n_ => {open}{}{close}", &source[body.clone()]);
            switched.replace_range(body, &format!("{{ match crate::seeded::bug() {{{arms}{own} }} }}"));
            if let Some(place) = opaque {
                let bounds = source[place.clone()].trim_end().replacen("impl", "dyn", 1);
                switched.replace_range(place, &format!("crate::seeded::Box<{bounds} + '_> "));
            }
        }
    }
    let names = Vec::from_iter(changes.iter().map(|(_, bug, _)| bug.name));
    if names.is_empty() {
        Ok(switched)
    } else {
        Err(format!("not in a function that can be switched: {}", names.join("; ")))
    }
}

/// The name of the bug that a line of a switched source belongs to.
pub(crate) fn bug_at(switched: &str, line: usize) -> Option<&str> {
    switched.lines().take(line).filter_map(|line| line.strip_prefix(MARK)).last().filter(|name| !name.is_empty())
}

/// A function that can be switched.
struct Function {
    /// Where an `impl` stands that it returns, which would have to be of one type.
    opaque: Option<Range<usize>>,
    /// Its body, in braces.
    body: Range<usize>,
}

/// The outermost functions that are not const.
fn functions(source: &str) -> Vec<Function> {
    let mut found = Vec::new();
    collect(source.parse().expect("the source compiles without a bug"), &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut Vec<Function>) {
    let is = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(ident) if ident == word);
    let mut is_const = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        // A type is `fn(`.
        if is(&token, "fn") && matches!(tokens.peek(), Some(TokenTree::Ident(_))) {
            let mut opaque = None;
            for token in tokens.by_ref() {
                match &token {
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                        let body = group.span().byte_range();
                        let opaque = opaque.map(|start| start..body.start);
                        found.extend((!is_const).then_some(Function { opaque, body }));
                        break;
                    }
                    TokenTree::Punct(end) if end.as_char() == ';' => break,
                    token if is(token, "impl") => opaque = Some(token.span().byte_range().start),
                    _ => {}
                }
            }
        } else if let TokenTree::Group(group) = &token {
            collect(group.stream(), found);
        }
        is_const = is(&token, "const") || is_const && is(&token, "unsafe");
    }
}
