//! Measures of Rust code: docs, names, closures, tuples and tokens a line.

use anyhow::{Context, Result};
use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, Ident, Item, ItemUse, Local, Pat, Signature, UseTree, Visibility,
};

use super::prose;
use super::report::{Report, Rule};

/// Longest name of a test, in characters.
const LONGEST_TEST_NAME: usize = 60;

/// Words that begin a question.
const QUESTION_WORDS: &[&str] = &[
    "How", "What", "Whatever", "When", "Where", "Which", "Who", "Whoever", "Whose", "Why",
];

/// Names that say nothing about a type.
const EMPTY_NAMES: &[&str] = &[
    "Found", "Held", "How", "Piece", "Shown", "Still", "Thing", "Use", "Way", "What", "Who", "Why",
];

/// Begin of a test's name that hides its subject.
const RIDDLES: &[&str] = &["of_", "what_", "who_"];

/// Measures one source file. Returns the line that lifts the lint against unsafe code, if one does.
pub(super) fn measure(file: &str, text: &str, report: &mut Report) -> Result<Option<usize>> {
    report.lines += text.lines().count();
    prose::measure_comments(file, text, report);
    check_docs(file, text, report);
    let syntax = syn::parse_file(text).with_context(|| format!("{file}: not Rust"))?;
    check_imports(file, &syntax.items, report);
    let mut visitor = Visitor {
        file,
        report,
        unsafe_line: None,
    };
    visitor.visit_file(&syntax);
    Ok(visitor.unsafe_line)
}

/// Checks that imports stand in groups with a blank line between: std, other crates, our own.
fn check_imports(file: &str, items: &[Item], report: &mut Report) {
    let mut last_group = 0;
    let mut last_line = None;
    for item in items {
        let Item::Use(import) = item else { continue };
        if !matches!(import.vis, Visibility::Inherited) {
            continue;
        }
        let group = group_of(import);
        let first = import.span().start().line;
        let follows = last_line == Some(first - 1);
        if group < last_group || (group > last_group && follows) {
            report.note(Rule::MixedImports, file, first, "use");
        }
        last_group = group;
        last_line = Some(import.span().end().line);
    }
}

/// Returns the number of the group that an import belongs to.
fn group_of(import: &ItemUse) -> u8 {
    let root = match &import.tree {
        UseTree::Path(path) => path.ident.to_string(),
        _ => return 1,
    };
    match root.as_str() {
        "std" | "core" | "alloc" => 0,
        "crate" | "self" | "super" => 2,
        _ => 1,
    }
}

struct Visitor<'a> {
    file: &'a str,
    report: &'a mut Report,
    /// Line of the first attribute that lifts the lint against unsafe code.
    unsafe_line: Option<usize>,
}

impl Visitor<'_> {
    fn note(&mut self, rule: Rule, place: impl Spanned, text: &str) {
        let line = place.span().start().line;
        self.report.note(rule, self.file, line, text);
    }

    fn check_function(&mut self, attributes: &[Attribute], signature: &Signature, block: &Block) {
        let name = signature.ident.to_string();
        self.report.define(name.clone());
        if attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("test"))
        {
            self.report.tests += 1;
            if name.len() > LONGEST_TEST_NAME {
                self.note(Rule::LongTestName, &signature.ident, &name);
            }
            if RIDDLES.iter().any(|start| name.starts_with(start)) {
                self.note(Rule::RiddleTestName, &signature.ident, &name);
            }
        }

        let first = signature.span().start().line;
        let last = block.brace_token.span.close().end().line;
        let lines = last - first + 1;
        if lines >= 3 {
            let mut tokens = 0;
            count(signature.to_token_stream(), &mut tokens);
            count(block.to_token_stream(), &mut tokens);
            self.report.densities.push(tokens as f64 / lines as f64);
        }
    }

    fn check_type(&mut self, name: &Ident) {
        let text = name.to_string();
        if EMPTY_NAMES.contains(&text.as_str()) {
            self.note(Rule::EmptyName, name, &text);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path();
        let is_level = path.is_ident("allow") || path.is_ident("expect");
        let tokens = attribute.to_token_stream().to_string();
        if is_level && tokens.contains("unsafe_code") {
            let line = attribute.span().start().line;
            self.unsafe_line.get_or_insert(line);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check_function(&function.attrs, &function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check_function(&function.attrs, &function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.check_type(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.check_type(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.check_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if let Some(init) = &local.init {
            let pattern = match &local.pat {
                Pat::Type(typed) => &typed.pat,
                pattern => pattern,
            };
            match (pattern, &*init.expr) {
                (Pat::Ident(name), Expr::Closure(_)) => {
                    self.note(Rule::BoundClosure, local, &name.ident.to_string());
                }
                (Pat::Tuple(names), Expr::Tuple(_)) => {
                    let names = names.to_token_stream().to_string();
                    self.note(Rule::TupleLet, local, &names);
                }
                _ => {}
            }
        }

        visit::visit_local(self, local);
    }
}

/// Checks the first word of each item's doc.
fn check_docs(file: &str, text: &str, report: &mut Report) {
    let mut in_doc = false;
    for (index, line) in text.lines().enumerate() {
        let Some(doc) = line.trim_start().strip_prefix("///") else {
            in_doc = false;
            continue;
        };
        let first = doc.split_whitespace().next().unwrap_or_default();
        if !in_doc {
            report.docs += 1;
            if QUESTION_WORDS.contains(&first) {
                report.note(Rule::QuestionDoc, file, index + 1, doc);
            }
        }
        in_doc = true;
    }
}

/// Counts words, literals and operators. Brackets count once, where they open. Commas and
/// semicolons do not count.
fn count(tokens: TokenStream, sum: &mut usize) {
    let mut is_joined = false;
    for token in tokens {
        let is_separator =
            matches!(&token, TokenTree::Punct(mark) if [',', ';'].contains(&mark.as_char()));
        *sum += usize::from(!is_joined && !is_separator);
        is_joined = matches!(&token, TokenTree::Punct(mark) if mark.spacing() == Spacing::Joint);
        if let TokenTree::Group(group) = token {
            count(group.stream(), sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> String {
        let mut report = Report::default();
        measure("x.rs", text, &mut report).unwrap();
        report.places()
    }

    #[test]
    fn question_word_counts_in_the_first_line_of_a_doc() {
        let found =
            places("/// What a is.\nconst A: u8 = 0;\n/// Size.\n/// What else.\nconst B: u8 = 0;");
        assert_eq!(
            found,
            "x.rs:1: doc begins with a question word: What a is.\n"
        );
    }

    #[test]
    fn names_of_types_and_tests_are_checked() {
        let found =
            places("pub(crate) enum How {}\n#[test]\nfn what_is_it() {}\nfn what_else() {}");
        assert_eq!(
            found,
            "x.rs:1: type with an empty name: How\n\
             x.rs:3: test name that begins with what_, who_ or of_: what_is_it\n"
        );
    }

    #[test]
    fn bound_closure_and_tuple_are_found() {
        let found =
            places("fn f() { let g = |x: u8| x; let (a, b) = (1, 2); let (c, d) = pair(); }");
        assert_eq!(
            found,
            "x.rs:1: closure bound to a name: g\nx.rs:1: tuple bound to a tuple of names: (a , b)\n"
        );
    }

    fn unsafe_line(text: &str) -> Option<usize> {
        measure("x.rs", text, &mut Report::default()).unwrap()
    }

    #[test]
    fn lifted_lint_against_unsafe_code_is_found() {
        let text = "fn f() {}\n#[allow(\n    unsafe_code, reason = \"r\"\n)]\nfn g() {}\n";
        assert_eq!(unsafe_line(text), Some(2));
        assert_eq!(unsafe_line("// #[allow(unsafe_code)]"), None);
    }

    #[test]
    fn import_outside_its_group_is_found() {
        let mixed = "use crate::a::A;\nuse std::fmt;\n\nuse b::B;\nuse super::C;\n";
        let rule = "import outside its group (std, other crates, our own): use\n";
        assert_eq!(places(mixed), format!("x.rs:2: {rule}x.rs:5: {rule}"));
        assert_eq!(
            places("use std::fmt;\n\nuse b::B;\n\nuse crate::A;\npub use c::D;\n"),
            ""
        );
    }

    #[test]
    fn tokens_are_counted_once() {
        let mut sum = 0;
        count("f(a, b::c) += 1".parse().unwrap(), &mut sum);
        assert_eq!(sum, 8);
    }
}
