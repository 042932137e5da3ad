// Buttons under a picture: its data as CSV, and its curves to zoom into (drag; double click resets).
'use strict';
const stored = figure => JSON.parse(figure.querySelector('script[type="application/json"]').textContent);

function csv(panels) {
  const lines = [];
  panels.forEach((panel, at) => panel.series.forEach(s => {
    lines.push(`# panel ${at + 1}: ${s.label}; x: ${panel.x}; y: ${panel.y}`);
    const names = Object.keys(s.data), length = Math.max(...names.map(n => s.data[n].length));
    lines.push(names.join(','));
    for (let i = 0; i < length; i++) lines.push(names.map(n => s.data[n][i] ?? '').join(','));
  }));
  return lines.join('\n') + '\n';
}

function chart(panel, width, home) {
  const drawn = panel.series.filter(s => s.data.x && s.data.y && s.kind !== 'text');
  if (!drawn.length) return;
  const tables = drawn.map(s => {
    let x = s.data.x, y = s.data.y;
    if (s.kind === 'steps') x = y.map((_, i) => (s.data.x[i] + s.data.x[i + 1]) / 2);
    const rows = x.map((v, i) => [v, y[i]]).filter(r => r[0] !== null).sort((a, b) => a[0] - b[0]);
    return [rows.map(r => r[0]), rows.map(r => r[1])];
  });
  const series = drawn.map(s => ({
    label: s.label || s.kind, stroke: s.color, width: s.kind === 'points' ? 0 : 1.5, spanGaps: true,
    points: {show: s.kind === 'points', size: 6, fill: s.color, stroke: s.color},
  }));
  const axis = (label, size) => ({label, stroke: '#52606d', grid: {stroke: '#e4e7eb', width: 1}, size, labelSize: 22});
  new uPlot({
    width, height: 320, title: panel.title,
    scales: {x: {time: false, distr: panel.log[0] ? 3 : 1}, y: {distr: panel.log[1] ? 3 : 1}},
    axes: [axis(panel.x, 42), axis(panel.y, 70)], series: [{label: panel.x}, ...series],
  }, uPlot.join(tables), home);
}

document.addEventListener('click', event => {
  const button = event.target.closest('button[data-act]');
  if (!button) return;
  const figure = button.closest('figure');
  if (button.dataset.act === 'csv') {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([csv(stored(figure))], {type: 'text/csv'}));
    link.download = figure.dataset.name + '.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    return;
  }
  const open = figure.querySelector('.zoom');
  const still = figure.querySelector('.still');
  still.hidden = !open.hasChildNodes() || !still.hidden;
  open.hidden = !still.hidden;
  button.textContent = still.hidden ? 'as printed' : 'zoom';
  if (still.hidden && !open.hasChildNodes()) stored(figure).forEach(p => chart(p, Math.min(figure.clientWidth, 860), open));
});
