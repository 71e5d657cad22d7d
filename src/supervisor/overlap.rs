//! Whether a group whose old and new processes cannot be there together (`overlap=`) is alone.
//!
//! Part of `supervisor::crew`. The group page knows the processes and templates of older configurations;
//! those of older editions are this supervisor's own.

use super::crew::Crew;
use super::group::Event;
use crate::os;

impl Crew<'_> {
    /// Tells the groups that wait for it.
    pub(super) fn look_for_older(&mut self) {
        for index in 0..self.units.len() {
            let unit = &self.units[index];
            if !unit.group.waits_to_be_alone() {
                continue;
            }
            let old_template = self.templates.iter().any(|template| {
                template.unit == index && !(template.is_usable() && unit.group.starts(template.edition))
            });
            // A supervisor that was killed has left its slots behind.
            let older = unit.plan.listener.page.older_pids(self.generation);
            let is_there = older.filter_map(os::parent_and_user).next().is_some();
            if !old_template && !is_there {
                self.tell(index, Event::Alone);
            }
        }
    }
}
