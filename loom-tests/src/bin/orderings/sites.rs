//! Where the source orders something, found in its tokens: each `Ordering::X` above Relaxed that an atomic operation or
//! a fence is given. Tests are left out. An ordering that is written in another way is an error, so none is forgotten.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::{fmt, io};

use proc_macro2::{Delimiter, Group, LineColumn, TokenStream, TokenTree};

use crate::copy::Files;

/// What is above Relaxed.
const STRONG: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];

/// Folders in whose order the sites come: the core first.
const FIRST: [&str; 3] = ["raw/", "cache/", "heaps/"];

/// An ordering in the source.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The file, in `src/`.
    pub file: String,
    /// The function, with its type.
    pub function: String,
    /// The operation that is given the ordering.
    pub call: String,
    /// It is for a compare-exchange that fails.
    pub on_failure: bool,
    /// Which one of those that are alike in the function, from 1 on.
    pub nth: usize,
    /// The ordering.
    pub ordering: String,
    /// Its bytes, from `Ordering` on.
    pub place: Range<usize>,
    /// The bytes of the word `fence`.
    pub fence: Option<Range<usize>>,
    /// The comment above it.
    pub comment: String,
}

impl Site {
    /// Its place without line numbers.
    pub(crate) fn name(&self) -> String {
        format!("{} {} {self}", self.file, self.function)
    }

    /// What it can be weakened to, by one step; a fence also to none, which is said as `Relaxed`.
    pub(crate) fn weaker(&self) -> &'static [&'static str] {
        match (&*self.ordering, self.is_fence(), &*self.call) {
            ("Acquire" | "Release", ..) => &["Relaxed"],
            ("AcqRel", ..) => &["Acquire", "Release"],
            (_, true, _) => &["AcqRel", "Relaxed"],
            (_, _, "load") => &["Acquire"],
            (_, _, "store") => &["Release"],
            _ if self.on_failure => &["Acquire"],
            _ => &["AcqRel"],
        }
    }

    fn is_fence(&self) -> bool {
        self.call.ends_with("fence")
    }

    /// What is gone when it is weakened, as a comment names it.
    pub(crate) fn loses(&self, weaker: &str) -> String {
        let lost = match (&*self.ordering, weaker) {
            ("AcqRel", "Acquire") => "Release",
            ("AcqRel", "Release") => "Acquire",
            (_, "Relaxed") if self.is_fence() => "fence",
            (ordering, _) => ordering,
        };
        let second = if self.nth == 2 { "second " } else { "" };
        format!("the {second}{lost}{}", if self.on_failure { " on failure" } else { "" })
    }

    /// The comment's reason why no model needs what is gone, in one sentence: `No model needs the Acquire: it …`.
    pub(crate) fn argument(&self, weaker: &str) -> Option<&str> {
        let lost = self.loses(weaker);
        self.comment.split("No model needs ").skip(1).find_map(|said| {
            let (what, why) = said.split_once(": ")?;
            let (why, _) = why.split_once(". ").unwrap_or((why, ""));
            (what == "it" || what == lost).then(|| why.trim_end_matches('.'))
        })
    }
}

/// `load(Acquire)`; `compare_exchange(failure: Acquire)`; `#2` for the second such one in the function.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, ordering, nth, .. } = self;
        write!(f, "{call}({}{ordering})", if self.on_failure { "failure: " } else { "" })?;
        if *nth > 1 { write!(f, " #{nth}") } else { Ok(()) }
    }
}

/// All sites of `src/`, the core's first.
///
/// # Errors
///
/// When an ordering is written in a way that this program does not know.
pub(crate) fn all(files: &Files) -> io::Result<Vec<Site>> {
    let mut found = Found::default();
    for (path, content) in files {
        let Ok(file) = path.strip_prefix("src") else { continue };
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = String::from_utf8_lossy(content);
        let tokens = source.parse().map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        let lines = Vec::from_iter(source.lines());
        let file = Place { file: &file.to_string_lossy(), lines: &lines };
        found.walk(&file, tokens, &Inside::default());
    }
    let Found { mut sites, mut unknown, tests } = found;
    let is_shipped = |file: &str| !tests.iter().any(|test| Path::new(file).starts_with(test));
    sites.retain(|site| is_shipped(&site.file));
    unknown.retain(|(file, _)| is_shipped(file));
    if let Some((file, LineColumn { line, column })) = unknown.first() {
        let said = format!("src/{file}:{line}:{column}: an ordering that is written in a way that is not known");
        return Err(io::Error::other(said));
    }
    let mut alike = BTreeMap::new();
    for site in &mut sites {
        let nth: &mut usize = alike.entry((site.file.clone(), site.function.clone(), site.to_string())).or_default();
        *nth += 1;
        site.nth = *nth;
    }
    let rank = |site: &Site| FIRST.iter().position(|folder| site.file.starts_with(folder)).unwrap_or(FIRST.len());
    sites.sort_by_key(rank);
    Ok(sites)
}

/// A file that is looked through.
struct Place<'a> {
    file: &'a str,
    lines: &'a [&'a str],
}

/// What stands around tokens.
#[derive(Clone, Debug, Default)]
struct Inside {
    owner: String,
    function: String,
    first_line: usize,
    call: Option<(String, Range<usize>)>,
}

#[derive(Default)]
struct Found {
    sites: Vec<Site>,
    /// Orderings that are no argument of a known operation.
    unknown: Vec<(String, LineColumn)>,
    /// Files and folders of modules that are only there for tests.
    tests: Vec<String>,
}

impl Found {
    fn walk(&mut self, place: &Place<'_>, tokens: TokenStream, inside: &Inside) {
        let tokens = Vec::from_iter(tokens);
        let mut argument = 0;
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            at += 1;
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ',' => argument += 1,
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(attribute)) = tokens.get(at)
                        && is_for_tests(attribute)
                    {
                        let end = tokens[at..].iter().position(ends_item).map_or(tokens.len(), |end| at + end + 1);
                        self.tests.extend(module(place.file, &tokens[at..end]));
                        at = end;
                    }
                }
                TokenTree::Ident(word) if word == "impl" => {
                    let Some(end) = tokens[at..].iter().position(is_braces) else { continue };
                    let owner = owner(&tokens[at..at + end]);
                    let TokenTree::Group(body) = &tokens[at + end] else { continue };
                    self.walk(place, body.stream(), &Inside { owner, ..Inside::default() });
                    at += end + 1;
                }
                TokenTree::Ident(word) if word == "fn" => {
                    let Some(TokenTree::Ident(name)) = tokens.get(at) else { continue };
                    let end = tokens[at..].iter().position(ends_item).map_or(tokens.len() - 1, |end| at + end);
                    if let TokenTree::Group(body) = &tokens[end] {
                        let owner = inside.owner.clone();
                        let function = if owner.is_empty() { name.to_string() } else { format!("{owner}::{name}") };
                        let first_line = name.span().start().line;
                        self.walk(place, body.stream(), &Inside { owner, function, first_line, call: None });
                    }
                    at = end + 1;
                }
                TokenTree::Ident(word) if STRONG.iter().any(|strong| word == strong) => {
                    let path = at.checked_sub(4).and_then(|from| tokens.get(from));
                    let is_path = matches!(path, Some(TokenTree::Ident(path)) if path == "Ordering");
                    let known = inside.call.as_ref().filter(|(call, _)| is_path && is_operation(call));
                    let Some(((call, call_place), path)) = known.zip(path) else {
                        self.unknown.push((place.file.to_owned(), word.span().start()));
                        continue;
                    };
                    self.sites.push(Site {
                        file: place.file.to_owned(),
                        function: inside.function.clone(),
                        call: call.clone(),
                        on_failure: call.starts_with("compare_exchange") && argument == 3,
                        nth: 0,
                        ordering: word.to_string(),
                        place: path.span().byte_range().start..word.span().byte_range().end,
                        fence: (call == "fence").then(|| call_place.clone()),
                        comment: comment(place.lines, inside.first_line, word.span().start().line),
                    });
                }
                TokenTree::Group(group) => {
                    let call = match at.checked_sub(2).map(|before| &tokens[before]) {
                        Some(TokenTree::Ident(name)) if group.delimiter() == Delimiter::Parenthesis => {
                            Some((name.to_string(), name.span().byte_range()))
                        }
                        _ => None,
                    };
                    self.walk(place, group.stream(), &Inside { call, ..inside.clone() });
                }
                _ => {}
            }
        }
    }
}

fn is_operation(call: &str) -> bool {
    ["load", "store", "swap", "fence", "compiler_fence"].contains(&call)
        || ["fetch_", "compare_exchange"].iter().any(|operations| call.starts_with(operations))
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn ends_item(token: &TokenTree) -> bool {
    is_braces(token) || matches!(token, TokenTree::Punct(end) if end.as_char() == ';')
}

/// Is it `#[cfg(…)]` or `#[test]`, and only for tests?
fn is_for_tests(attribute: &Group) -> bool {
    let tokens = Vec::from_iter(attribute.stream());
    match &tokens[..] {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(condition)] if name == "cfg" => needs_test(condition.stream()),
        _ => false,
    }
}

/// Does a condition hold in tests only? The names in `any` all have to be such; one in `all` is enough.
fn needs_test(condition: TokenStream) -> bool {
    let tokens = Vec::from_iter(condition);
    match &tokens[..] {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] => {
            let parts = Vec::from_iter(group.stream());
            let mut parts = parts.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
            let needs = |part: &[TokenTree]| needs_test(part.iter().cloned().collect());
            if name == "all" { parts.any(needs) } else { name == "any" && parts.all(needs) }
        }
        _ => false,
    }
}

/// The file and the folder of a module that has them, as they are in `src/`.
fn module(file: &str, item: &[TokenTree]) -> Vec<String> {
    let [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_)] = item else { return Vec::new() };
    if word != "mod" {
        return Vec::new();
    }
    let (folder, stem) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = stem.trim_end_matches(".rs");
    let mut path = Vec::from_iter([folder].into_iter().filter(|part| !part.is_empty()));
    path.extend((!["lib", "mod"].contains(&stem)).then_some(stem));
    let name = name.to_string();
    path.push(&name);
    let path = path.join("/");
    vec![format!("{path}.rs"), path]
}

/// The type of an `impl`, by the tokens before its braces.
fn owner(header: &[TokenTree]) -> String {
    let (mut depth, mut owner) = (0, String::new());
    let mut before = ' ';
    for token in header {
        match token {
            TokenTree::Punct(punct) => {
                match punct.as_char() {
                    '<' => depth += 1,
                    '>' if before != '-' => depth -= 1,
                    _ => {}
                }
                before = punct.as_char();
            }
            TokenTree::Ident(word) if word == "where" && depth == 0 => break,
            TokenTree::Ident(word) if word == "for" && depth == 0 => owner.clear(),
            TokenTree::Ident(word) if depth == 0 => owner = word.to_string(),
            _ => {}
        }
    }
    owner
}

/// The comment at the end of a line, or the nearest one above it in its function.
fn comment(lines: &[&str], first: usize, line: usize) -> String {
    if let Some((code, said)) = lines[line - 1].split_once("// ")
        && !code.trim().is_empty()
    {
        return said.to_owned();
    }
    let is_comment = |line: &&usize| lines[**line - 1].trim_start().starts_with("//");
    let above = Vec::from_iter((first + 1..line).rev());
    let block = Vec::from_iter(above.iter().skip_while(|line| !is_comment(line)).take_while(is_comment));
    let said = block.iter().rev().map(|line| lines[**line - 1].trim_start().trim_start_matches('/').trim());
    said.collect::<Vec<_>>().join(" ")
}
