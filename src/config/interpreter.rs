//! Options that may differ from one interpreter to the next: `<WSGIInterpreterOptions>` and its directives.
//!
//! Collected in the httpd parent by `actions`. Resolved for each process group when its processes are
//! planned, and for embedded mode when a child starts.

use serde::{Deserialize, Serialize};

/// The groups that a `<WSGIInterpreterOptions>` section is about; None where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    pub process_group: Option<String>,
    pub application_group: Option<String>,
}

impl Section {
    fn specificity(&self) -> usize {
        usize::from(self.process_group.is_some()) + usize::from(self.application_group.is_some())
    }

    /// `application_group` None: those that no section names.
    fn concerns(&self, process_group: &str, application_group: Option<&str>) -> bool {
        let process = self.process_group.as_deref().is_none_or(|name| name == process_group);
        process
            && (self.application_group.is_none() || self.application_group.as_deref() == application_group)
    }
}

/// One directive, in a section or outside of all.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    PythonPath(Vec<String>),
    SwitchInterval(f64),
    OwnGil(bool),
    FreeThreading(bool),
    RestrictStdin(bool),
    RestrictStdout(bool),
    RestrictSignal(bool),
}

/// How an interpreter is made and prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterpreterOptions {
    /// Site directories, `.pth` files processed, moved to the front of `sys.path`.
    pub python_path: Vec<String>,
    /// Seconds; not positive when not given.
    pub switch_interval: f64,
    /// `WSGIPerInterpreterGIL`; the main interpreter has one of its own anyway.
    pub own_gil: bool,
    /// `WSGIFreeThreading`: of the process, so the same for all its interpreters.
    pub free_threading: bool,
    pub restrict_stdin: bool,
    pub restrict_stdout: bool,
    pub restrict_signal: bool,
}

impl Default for InterpreterOptions {
    fn default() -> Self {
        InterpreterOptions {
            python_path: Vec::new(),
            switch_interval: 0.0,
            own_gil: false,
            free_threading: false,
            restrict_stdin: false,
            restrict_stdout: false,
            restrict_signal: true,
        }
    }
}

/// The options of a process's interpreters by application group; the first, without a name, is for all
/// others.
pub type ByApplicationGroup = Vec<(Option<String>, InterpreterOptions)>;

/// The options of one of them.
pub fn options_of<'a>(all: &'a ByApplicationGroup, application_group: &str) -> &'a InterpreterOptions {
    let named = all.iter().find(|(name, _)| name.as_deref() == Some(application_group));
    &named.unwrap_or(&all[0]).1
}

/// Whether the process is to do without a GIL, where its Python can.
pub fn without_gil(all: &ByApplicationGroup) -> bool {
    all.iter().any(|(_, options)| options.free_threading)
}

/// All that was said, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layers(Vec<(Section, Setting)>);

impl Layers {
    pub fn push(&mut self, section: Section, setting: Setting) {
        self.0.push((section, setting));
    }

    /// The options of a process group's interpreters; `base` is what its own definition says.
    pub fn resolve(&self, process_group: &str, base: &InterpreterOptions) -> ByApplicationGroup {
        let mut names = vec![None];
        for (section, _) in &self.0 {
            let name = section.application_group.clone();
            if section.concerns(process_group, name.as_deref()) && !names.contains(&name) {
                names.push(name);
            }
        }
        let options = |name: Option<String>| {
            let options = self.layered(process_group, name.as_deref(), base.clone());
            (name, options)
        };
        names.into_iter().map(options).collect()
    }

    /// What is more specific wins, then what comes later; paths add up.
    fn layered(
        &self,
        process_group: &str,
        application_group: Option<&str>,
        base: InterpreterOptions,
    ) -> InterpreterOptions {
        let concerned =
            self.0.iter().filter(|(section, _)| section.concerns(process_group, application_group));
        let mut layers: Vec<_> = concerned.collect();
        layers.sort_by_key(|(section, _)| section.specificity());
        layers.into_iter().fold(base, |mut options, (_, setting)| {
            match setting {
                Setting::PythonPath(path) => {
                    options.python_path.splice(..0, path.iter().cloned());
                }
                Setting::SwitchInterval(seconds) => options.switch_interval = *seconds,
                Setting::OwnGil(own) => options.own_gil = *own,
                Setting::FreeThreading(free) => options.free_threading = *free,
                Setting::RestrictStdin(restrict) => options.restrict_stdin = *restrict,
                Setting::RestrictStdout(restrict) => options.restrict_stdout = *restrict,
                Setting::RestrictSignal(restrict) => options.restrict_signal = *restrict,
            }
            options
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(process_group: &str, application_group: &str) -> Section {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_string());
        Section { process_group: name(process_group), application_group: name(application_group) }
    }

    #[test]
    fn what_is_more_specific_wins_and_what_comes_later() {
        let mut layers = Layers::default();
        layers.push(section("blog", "admin"), Setting::SwitchInterval(4.0));
        layers.push(section("blog", ""), Setting::SwitchInterval(2.0));
        layers.push(section("", "admin"), Setting::SwitchInterval(3.0));
        layers.push(section("", ""), Setting::SwitchInterval(1.0));
        layers.push(section("blog", ""), Setting::OwnGil(true));
        let interval = |process: &str, application: &str| {
            options_of(&layers.resolve(process, &InterpreterOptions::default()), application).switch_interval
        };
        assert_eq!(interval("blog", "admin"), 4.0);
        assert_eq!(interval("shop", "admin"), 3.0);
        assert_eq!(interval("blog", "other"), 2.0);
        assert_eq!(interval("shop", "other"), 1.0);
        let blog = layers.resolve("blog", &InterpreterOptions::default());
        assert_eq!(blog.iter().map(|(name, _)| name.as_deref()).collect::<Vec<_>>(), [None, Some("admin")]);
        assert!(blog.iter().all(|(_, options)| options.own_gil && options.restrict_signal));
    }

    #[test]
    fn paths_add_up() {
        let mut layers = Layers::default();
        let path = |text: &str| Setting::PythonPath(vec![text.to_string()]);
        layers.push(section("blog", "admin"), path("/admin"));
        layers.push(section("blog", ""), path("/blog"));
        let base =
            InterpreterOptions { python_path: vec!["/base".to_string()], ..InterpreterOptions::default() };
        let all = layers.resolve("blog", &base);
        assert_eq!(options_of(&all, "admin").python_path, ["/admin", "/blog", "/base"]);
        assert_eq!(options_of(&all, "").python_path, ["/blog", "/base"]);
        assert_eq!(layers.resolve("shop", &base), [(None, base)]);
    }
}
