//! Text tables: a header line and aligned columns.

/// Returns the header and the rows below it, with aligned columns. No line ends with a space.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([header[column].len()])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let rows = rows
        .iter()
        .map(|row| line(row.each_ref().map(String::as_str)));
    let lines: Vec<_> = [line(header)].into_iter().chain(rows).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_no_line_ends_with_a_space() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [row(["long cell", "x", ""]), row(["é", "yy", "end"])];
        assert_eq!(
            table(["A", "B", "LAST"], &rows),
            "A          B   LAST\nlong cell  x\né          yy  end"
        );
        assert_eq!(table(["A", "B"], &[]), "A  B");
    }
}
