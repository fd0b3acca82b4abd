//! A command line, and its rendering to words.

use std::collections::HashMap;

use passthru_domain::Descriptor;
use serde_json::{Map, json};

use super::opt::{List, Object, Opt, Term, Value, distinct_wants, on_off};
use super::quote::{quote, quote_program};
use super::resolve::{FileLocation, Resolve};
use super::want::{Want, WantKind};

/// A QEMU command line, in which [`Want`]s stand for descriptors and files.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandLine {
    /// Path of the emulator.
    pub emulator: String,
    /// Environment variables of the emulator, as name and value.
    pub env: Vec<(String, String)>,
    /// The options, in their order.
    pub options: Vec<Opt>,
}

impl CommandLine {
    /// Returns the files and descriptors that the line needs, each once, in the line's order.
    pub fn wants(&self) -> Vec<&Want> {
        distinct_wants(&self.options)
    }

    /// Returns the arguments for execve(2), without the emulator.
    pub fn render(&self, resolve: &dyn Resolve) -> Vec<String> {
        self.render_options(resolve).into_iter().flatten().collect()
    }

    /// Returns the command for a shell: an option a line, with `\` at each line's end, and words
    /// quoted if needed.
    pub fn pretty(&self, resolve: &dyn Resolve) -> String {
        let mut text = String::new();
        for (name, value) in &self.env {
            text.push_str(&format!("{name}={} \\\n", quote(value)));
        }
        text.push_str(&quote_program(&self.emulator));
        for words in self.render_options(resolve) {
            let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
            text.push_str(" \\\n");
            text.push_str(&words.join(" "));
        }

        text.push('\n');
        text
    }

    /// Returns the line as JSON: `emulator`, `args`, `fds` and, if there is any, `env`. `fds` lists
    /// the files and descriptors that the arguments need.
    pub fn to_json(&self, resolve: &dyn Resolve) -> serde_json::Value {
        let fds: Vec<_> = self.wants().into_iter().map(want_json).collect();
        let mut line =
            json!({ "emulator": self.emulator, "args": self.render(resolve), "fds": fds });
        if !self.env.is_empty() {
            let env = self
                .env
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()));
            line["env"] = serde_json::Value::Object(env.collect());
        }

        line
    }

    /// Returns the words of each option.
    fn render_options(&self, resolve: &dyn Resolve) -> Vec<Vec<String>> {
        let mut renderer = Renderer::new(resolve);
        self.options
            .iter()
            .flat_map(|option| renderer.option(option))
            .collect()
    }
}

/// Writer of the values of options as text and as JSON.
pub(crate) struct Renderer<'a> {
    resolve: &'a dyn Resolve,
    /// The fd sets of the line, by number.
    sets: Vec<Want>,
    /// The numbers of the fd sets.
    numbers: HashMap<Want, usize>,
}

impl<'a> Renderer<'a> {
    pub(crate) fn new(resolve: &'a dyn Resolve) -> Self {
        Self {
            resolve,
            sets: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// Returns the `-add-fd` options that the option needs, then the option.
    fn option(&mut self, option: &Opt) -> Vec<Vec<String>> {
        let known = self.sets.len();
        let mut words = vec![option.flag.to_owned()];
        match &option.value {
            Value::Flag => {}
            Value::Word(word) => words = vec![word.clone()],
            Value::Plain(term) => words.push(self.text(term)),
            Value::List(list) => words.push(self.list(list)),
            Value::Json(object) => words.push(self.object(object).to_string()),
        }

        let mut options: Vec<_> = (known..self.sets.len())
            .flat_map(|set| self.add_fds(set))
            .collect();
        options.push(words);
        options
    }

    /// Returns the `-add-fd` options that fill an fd set.
    fn add_fds(&self, set: usize) -> Vec<Vec<String>> {
        let Some(want) = self.sets.get(set) else {
            return Vec::new();
        };
        let FileLocation::FdSet(fds) = self.resolve.file(want) else {
            return Vec::new();
        };
        let opaque = comma(&want.name);
        let mut options = Vec::new();
        for fd in fds {
            let value = format!("set={set},fd={fd},opaque={opaque}");
            options.push(vec!["-add-fd".to_owned(), value]);
        }

        options
    }

    fn list(&mut self, list: &List) -> String {
        let mut text = String::new();
        for (key, term) in &list.0 {
            if self.is_left_out(term) {
                continue;
            }
            if !text.is_empty() {
                text.push(',');
            }
            if !key.is_empty() {
                text.push_str(key);
                text.push('=');
            }
            text.push_str(&comma(&self.text(term)));
        }

        text
    }

    /// Returns whether a value is left out: `/dev/kvm`, which is the accelerator's default.
    fn is_left_out(&self, term: &Term) -> bool {
        let Term::Want(want) = term else {
            return false;
        };
        want.kind == WantKind::Kvm && self.resolve.file(want) == FileLocation::OwnPath
    }

    fn text(&mut self, term: &Term) -> String {
        match term {
            Term::Bool(on) => on_off(*on).into(),
            Term::Number(number) => number.to_string(),
            Term::Signed(number) => number.to_string(),
            Term::Text(text) => text.clone(),
            Term::Want(want) => self.want(want),
            Term::Joined(terms) => terms
                .iter()
                .map(|term| self.text(term))
                .collect::<Vec<_>>()
                .join(":"),
            Term::Null | Term::Array(_) | Term::Object(_) => self.term(term).to_string(),
        }
    }

    /// Returns an object as JSON.
    pub(crate) fn object(&mut self, object: &Object) -> serde_json::Value {
        let members = object
            .0
            .iter()
            .map(|(key, term)| (key.clone().into_owned(), self.term(term)));
        serde_json::Value::Object(members.collect::<Map<_, _>>())
    }

    fn term(&mut self, term: &Term) -> serde_json::Value {
        match term {
            Term::Null => serde_json::Value::Null,
            Term::Bool(on) => (*on).into(),
            Term::Number(number) => (*number).into(),
            Term::Signed(number) => (*number).into(),
            Term::Text(text) => text.clone().into(),
            Term::Array(terms) => terms.iter().map(|term| self.term(term)).collect(),
            Term::Joined(_) => self.text(term).into(),
            Term::Object(object) => self.object(object),
            Term::Want(want) => self.want(want).into(),
        }
    }

    fn want(&mut self, want: &Want) -> String {
        if want.is_descriptor() {
            return self.resolve.fd(want);
        }
        match self.resolve.file(want) {
            FileLocation::OwnPath => want.path().unwrap_or_default().to_owned(),
            FileLocation::OtherPath(path) => path,
            FileLocation::FdSet(_) => format!("/dev/fdset/{}", self.set(want)),
        }
    }

    /// Returns the number of a want's fd set.
    fn set(&mut self, want: &Want) -> usize {
        *self.numbers.entry(want.clone()).or_insert_with(|| {
            self.sets.push(want.clone());
            self.sets.len() - 1
        })
    }
}

/// Returns the entry of a want in `fds`.
fn want_json(want: &Want) -> serde_json::Value {
    let mut json = json!({ "name": want.name, "kind": want.kind_name() });
    match want.given() {
        Some(Descriptor::Number(number)) => json["fd"] = (*number).into(),
        Some(Descriptor::Name(name)) => json["fdgroup"] = name.as_str().into(),
        None => {}
    }

    if let WantKind::Vfio { host, .. } = &want.kind {
        json["for"] = host.to_string().into();
    }
    if let Some(path) = want.path() {
        json["for"] = path.into();
    }
    json
}

/// Doubles the commas of a value in a `key=value` list.
fn comma(text: &str) -> String {
    text.replace(',', ",,")
}
