// Sorts tables by the column whose header is clicked; without JavaScript the headers are plain text.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const words = new Intl.Collator(undefined, { numeric: true });

  const compare = (first, second, numeric, sign) => {
    if (!numeric) return sign * words.compare(first, second);
    // Rows without a number come last in either order.
    if (first === "" || second === "") return (first === "") - (second === "");
    return sign * (Number(first) - Number(second));
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const opposite = before === "ascending" ? "descending" : "ascending";
      const order = before ? opposite : head.dataset.first;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const numeric = head.classList.contains("number");
      const sign = order === "ascending" ? 1 : -1;
      const key = (row) => row.cells[column].dataset.key;
      const rows = [...body.rows];
      rows.sort((first, second) => compare(key(first), key(second), numeric, sign));
      body.append(...rows);
    });
  });
}
