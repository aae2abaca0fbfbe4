//! Plots of a run's figures: SVG files, each written by the part that it belongs to.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{BenchError, io};
use crate::figures::grouped;

const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(214, 39, 40),
    RGBColor(127, 127, 127),
];
const FONT: &str = "sans-serif";
const PANEL: (u32, u32) = (400, 34);
const BAR_HEIGHT: i32 = 36;
const LINES: (u32, u32) = (800, 420);

/// The folder of the plots.
#[derive(Debug)]
pub struct Plots {
    folder: PathBuf,
}

/// Bars in panels, each with its own scale, two panels a row.
pub struct Bars {
    pub title: &'static str,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    title: String,
    bars: Vec<(String, f64)>,
}

impl Panel {
    pub fn new(title: String, bars: Vec<(String, f64)>) -> Self {
        Self { title, bars }
    }
}

/// Lines over a logarithmic axis.
pub struct Lines {
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plots {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a plot of bars.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn bars(&self, name: &str, bars: &Bars) -> Result<(), BenchError> {
        let rows = bars.panels.len().div_ceil(2);
        let most = bars.panels.iter().map(|panel| panel.bars.len()).max().unwrap_or_default();
        let height = PANEL.1 + 10 + most as u32 * BAR_HEIGHT.unsigned_abs();
        let path = self.path(name)?;
        let whole = SVGBackend::new(&path, (2 * PANEL.0, rows as u32 * height + 40)).into_drawing_area();
        whole.fill(&WHITE).map_err(not_drawn)?;
        let inner = whole.titled(bars.title, (FONT, 20)).map_err(not_drawn)?;
        for (panel, area) in bars.panels.iter().zip(inner.split_evenly((rows, 2))) {
            panel.draw(&area)?;
        }
        whole.present().map_err(not_drawn)
    }

    /// Writes a plot of lines.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn lines(&self, name: &str, lines: &Lines) -> Result<(), BenchError> {
        let points = || lines.series.iter().flat_map(|(_, points)| points);
        let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
        let most = points().fold((least, 0.0), |most, (x, y)| (x.max(most.0), y.max(most.1)));
        // An axis with only one point would have no length.
        let range = least..most.0.max(least * 2.0);
        let path = self.path(name)?;
        let area = SVGBackend::new(&path, LINES).into_drawing_area();
        area.fill(&WHITE).map_err(not_drawn)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(lines.title, (FONT, 20))
            .margin(12)
            .margin_right(36)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(range.log_scale(), 0.0..most.1 * 1.05)
            .map_err(not_drawn)?;
        chart
            .configure_mesh()
            .x_desc(lines.x)
            .y_desc(lines.y)
            .label_style((FONT, 13))
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .light_line_style(WHITE)
            .draw()
            .map_err(not_drawn)?;
        for ((name, points), colour) in lines.series.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
                .map_err(not_drawn)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .label_font((FONT, 13))
            .background_style(WHITE)
            .border_style(COLOURS[5])
            .draw()
            .map_err(not_drawn)?;
        area.present().map_err(not_drawn)
    }

    fn path(&self, name: &str) -> Result<PathBuf, BenchError> {
        fs::create_dir_all(&self.folder).map_err(io(self.folder.to_string_lossy()))?;
        Ok(self.folder.join(format!("{name}.svg")))
    }
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), BenchError> {
        let text = |text: &str, size: u32, at: (i32, i32)| {
            area.draw(&Text::new(text.to_owned(), at, (FONT, size).into_font())).map_err(not_drawn)
        };
        text(&self.title, 15, (12, 10))?;
        let most = self.bars.iter().map(|(_, figure)| *figure).fold(f64::MIN_POSITIVE, f64::max);
        let room = f64::from(PANEL.0 - 100);
        for (number, ((name, figure), colour)) in self.bars.iter().zip(COLOURS).enumerate() {
            let top = PANEL.1 as i32 + number as i32 * BAR_HEIGHT;
            text(name, 12, (12, top))?;
            let length = (room * figure / most).ceil() as i32;
            let corners = [(12, top + 15), (12 + length, top + 29)];
            area.draw(&Rectangle::new(corners, colour.filled())).map_err(not_drawn)?;
            text(&short(*figure), 13, (18 + length, top + 15))?;
        }
        Ok(())
    }
}

/// Formats a figure with about three digits.
fn short(figure: f64) -> String {
    let decimals = match figure.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let told = grouped(figure, decimals);
    if told.contains('.') { told.trim_end_matches('0').trim_end_matches('.').to_owned() } else { told }
}

fn not_drawn(error: impl Display) -> BenchError {
    BenchError::Unexpected(format!("a plot could not be drawn: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_what_they_are_of() {
        let folder = tempfile::tempdir().unwrap();
        let plots = Plots::new(folder.path().join("plots"));
        let panels = vec![Panel::new(
            "Figs/s".to_owned(),
            vec![("ours".to_owned(), 1234.5), ("theirs".to_owned(), 0.25)],
        )];
        plots.bars("bars", &Bars { title: "Bars", panels }).unwrap();
        let series = vec![("one".to_owned(), vec![(1.0, 2.0), (1000.0, 3.0)])];
        plots.lines("lines", &Lines { title: "Lines", x: "rows", y: "figs", series }).unwrap();

        let read = |name: &str| fs::read_to_string(folder.path().join("plots").join(name)).unwrap();
        for word in ["Bars", "Figs/s", "ours", "1,23", "theirs", "0.25"] {
            assert!(read("bars.svg").contains(word), "{word}");
        }
        for word in ["Lines", "rows", "figs", "one", "1,000"] {
            assert!(read("lines.svg").contains(word), "{word}");
        }
    }
}
