// Sorts leaderboards and sets formulas. `document$` is the theme's: it fires for every page shown.
document$.subscribe(function () {
  document.querySelectorAll("article table.ranking").forEach(function (table) {
    if (!table.dataset.sortable) {
      table.dataset.sortable = "yes";
      new Tablesort(table);
    }
  });
  document.querySelectorAll(".arithmatex").forEach(function (element) {
    const source = element.textContent.trim();
    const display = source.startsWith("\\[");
    katex.render(source.slice(2, -2), element, {
      displayMode: display,
      throwOnError: false,
      output: "htmlAndMathml",
    });
  });
});
