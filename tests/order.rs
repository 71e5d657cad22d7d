//! Which module may use which: those below it in the reading order of `lib.rs`, and of each folder's `mod.rs`.
//!
//! Paths are taken from the parsed sources (`use` and everywhere else), unit tests left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

#[test]
fn a_module_uses_only_those_below_it() {
    let modules = modules();
    let order: BTreeMap<_, _> = modules.iter().map(|module| (&module.path[..], &module.children)).collect();
    let mut wrong = Vec::new();
    for module in &modules {
        for used in &module.uses {
            let length = (0..=used.len()).rev().find(|length| order.contains_key(&used[..*length]));
            let target = &used[..length.expect("the crate itself is a module")];
            let common = module.path.iter().zip(target).take_while(|(one, other)| one == other).count();
            let (own, other) = (module.path.get(common), target.get(common));
            let place = module.path[..common].join("::");
            let name = module.path.join("::");
            match (own, other) {
                // Itself, or one of its own.
                (None, _) => {}
                (Some(_), None) => {
                    wrong.push(format!("{name} uses {}, which {place} defines", used.join("::")))
                }
                (Some(own), Some(other)) => {
                    let rank =
                        |module: &String| order[&target[..common]].iter().position(|name| name == module);
                    if rank(own) >= rank(other) {
                        let list = if place.is_empty() { "lib.rs" } else { &place };
                        wrong.push(format!(
                            "{name} uses {}, which stands above it in {list}",
                            target.join("::")
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A file of the crate.
struct Module {
    /// `["os", "socket"]` for os/socket.rs, none for lib.rs.
    path: Vec<String>,
    /// Modules that it declares, in its order.
    children: Vec<String>,
    /// Absolute paths that it names.
    uses: Vec<Vec<String>>,
}

fn modules() -> Vec<Module> {
    let mut found = Vec::new();
    let mut waiting = vec![(Vec::new(), source_folder().join("lib.rs"))];
    while let Some((path, file)) = waiting.pop() {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut reader = Reader { module: path.clone(), children: Vec::new(), uses: Vec::new() };
        reader.visit_file(&syntax);
        for child in &reader.children {
            let own: Vec<String> = path.iter().chain([child]).cloned().collect();
            let folder = own.iter().fold(source_folder(), |folder, name| folder.join(name));
            let (alone, index) = (folder.with_extension("rs"), folder.join("mod.rs"));
            waiting.push((own, if alone.exists() { alone } else { index }));
        }
        found.push(Module { path, children: reader.children, uses: reader.uses });
    }
    found
}

/// What a file declares and names, tests left out.
struct Reader {
    module: Vec<String>,
    children: Vec<String>,
    uses: Vec<Vec<String>>,
}

impl Reader {
    /// Notes a path, where it is one of this crate's.
    fn note(&mut self, path: &[String]) {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let absolute = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("super") => [&self.module[..self.module.len() - ups], &path[ups..]].concat(),
            Some(child) if self.children.iter().any(|name| name == child) => [&self.module, path].concat(),
            _ => return,
        };
        self.uses.push(absolute);
    }

    fn note_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.note_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => self.note(before),
            syn::UseTree::Name(name) => self.note(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.note(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(tree, before)),
        }
    }
}

impl Visit<'_> for Reader {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if is_for_tests(&item.attrs) {
            return;
        }
        // What is generated stands inside `sys`.
        if item.content.is_none() {
            self.children.push(item.ident.to_string());
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.note_tree(&item.tree, &[]);
        }
    }

    /// `pub(super)` names no module that is used.
    fn visit_vis_restricted(&mut self, _: &syn::VisRestricted) {}

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &syn::Macro) {
        // What a macro makes of its words is not known; paths among them are.
        let words = item.tokens.to_string();
        for (start, _) in words.match_indices("crate ::").chain(words.match_indices("super ::")) {
            let path = words[start..].split("::").map(|word| word.trim().to_string());
            let names: Vec<String> = path
                .take_while(|name| {
                    syn::parse_str::<syn::Ident>(name).is_ok() || name == "crate" || name == "super"
                })
                .collect();
            self.note(&names);
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("cfg") && list.is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
