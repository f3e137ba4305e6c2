// Draws the rows of an embedding on a canvas: zoom, pan, turn, play, and who is under the pointer.
// Runs once, after the drawing that it replaces; reads what embedding_viewer.cpp wrote.
(() => {
  'use strict';
  const map = document.getElementById('map');
  const data = JSON.parse(document.getElementById('map-data').textContent);
  const find = (selector) => map.querySelector(selector);
  const live = find('.live'), stage = find('.stage'), canvas = find('canvas'), tip = find('.tip');
  const pen = canvas.getContext('2d');
  if (!pen) return;

  // ---- data: coordinates between -1 and 1, the same scale in every direction -------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const words = (text, Type) => new Type(bytes(text).buffer);
  const n = data.shown, q = data.dimensions;
  const rows = data.rows ? words(data.rows, Uint32Array) : null;
  const group = data.group ? words(data.group, Uint16Array) : new Uint16Array(n);
  const labels = data.labels || [];
  const nGroups = Math.max(1, labels.length);
  const frames = data.frames.map((frame) => {
    const at = words(frame.at, Uint16Array);
    const half = Math.max(...frame.high.map((high, j) => high - frame.low[j])) / 2 || 1;
    const unit = new Float32Array(n * q);
    for (let i = 0; i < n * q; ++i) {
      const span = frame.high[i % q] - frame.low[i % q];
      unit[i] = (at[i] / 65535 - 0.5) * span / half;
    }
    return {iteration: frame.iteration, kl: frame.kl, low: frame.low, high: frame.high, at, unit};
  });
  const last = frames.length - 1;

  // One dimension is drawn as lanes, a label each, with the points spread inside by a fixed draw.
  const lanes = nGroups <= 24 ? nGroups : 1;
  const lane = new Float32Array(q === 1 ? n : 0);
  for (let i = 0; i < lane.length; ++i) {
    const draw = (Math.imul(i + 1, 0x9E3779B1) >>> 8) / 0x1000000;
    lane[i] = (2 * ((lanes > 1 ? group[i] : 0) + 0.15 + 0.7 * draw)) / lanes - 1;
  }

  // The row that stands nearest to the middle of its group carries the group's number.
  const anchors = [];
  for (let g = 0; g < labels.length && labels.length <= 40; ++g) {
    const own = [];
    for (let i = 0; i < n; ++i) if (group[i] === g) own.push(i);
    const unit = frames[last].unit, middle = [];
    for (let j = 0; j < q; ++j) {
      const values = own.map((i) => unit[i * q + j]).sort((a, b) => a - b);
      middle.push(values[values.length >> 1]);
    }
    const away = (i) => middle.reduce((sum, m, j) => sum + (unit[i * q + j] - m) ** 2, 0);
    anchors.push(own.reduce((best, i) => (away(i) < away(best) ? i : best), own[0]));
  }

  // ---- what is seen ----------------------------------------------------------------------------

  const view = {zoom: 1, x: 0, y: 0, yaw: 0.6, pitch: 0.35, frame: last, row: -1};
  const hidden = new Uint8Array(nGroups);
  const px = new Float32Array(n), py = new Float32Array(n), depth = new Float32Array(n);
  let width = 0, height = 0, ratio = 1, colours = {}, sprites = new Map(), order = null;

  function size() {
    width = Math.max(200, stage.clientWidth);
    height = Math.round(Math.min(width * (q === 1 ? 0.5 : 0.72), 720));
    ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + 'px';
    sprites = new Map();
  }

  function theme() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['paper', 'ink', 'muted', 'rule', 's0', 's1', 's2', 's3', 's4', 's5', 's6',
                        's7']) {
      colours[name] = style.getPropertyValue('--' + name).trim();
    }
    sprites = new Map();
  }

  // Coordinate j of row i, between two frames while they play.
  function coordinate(i, j) {
    const k = Math.floor(view.frame), part = view.frame - k;
    const a = frames[k].unit[i * q + j];
    return part > 0 ? a + part * (frames[k + 1].unit[i * q + j] - a) : a;
  }

  let reach3 = 1e-3;  // of the last frame from its middle
  for (let i = 0; q === 3 && i < n; ++i) {
    reach3 = Math.max(reach3, Math.hypot(...frames[last].unit.subarray(3 * i, 3 * i + 3)));
  }

  // At zoom 1 the last frame fills the canvas; a turning cloud fits in whatever way it stands.
  function pixelsPerUnit() {
    const sx = (width / 2 - 28) * view.zoom, sy = (height / 2 - 28) * view.zoom;
    if (q === 1) return {x: sx, y: Infinity};
    if (q === 3) return {x: Math.min(sx, sy) / reach3, y: Math.min(sx, sy) / reach3};
    const span = frames[last].high.map((high, j) => high - frames[last].low[j]);
    const most = Math.max(...span) || 1;
    const unit = Math.min(sx * most / (span[0] || most), sy * most / (span[1] || most));
    return {x: unit, y: unit};
  }

  function project() {
    const unit = pixelsPerUnit();
    if (q === 1) {
      for (let i = 0; i < n; ++i) {
        px[i] = width / 2 + unit.x * (coordinate(i, 0) - view.x);
        py[i] = height / 2 + (height / 2 - 28) * lane[i];
      }
      return;
    }
    const cy = Math.cos(view.yaw), sny = Math.sin(view.yaw);
    const cp = Math.cos(view.pitch), snp = Math.sin(view.pitch);
    for (let i = 0; i < n; ++i) {
      let x = coordinate(i, 0), y = coordinate(i, 1);
      if (q === 3) {
        const z = coordinate(i, 2), turned = cy * x + sny * z, back = cy * z - sny * x;
        x = turned;
        depth[i] = cp * back - snp * y;
        y = cp * y + snp * back;
      }
      px[i] = width / 2 + unit.x * (x - view.x);
      py[i] = height / 2 - unit.y * (y - view.y);
    }
  }

  const radius = () => Math.min(2.8, 2.8 * Math.sqrt(4000 / n)) * Math.min(2.2, view.zoom ** 0.3);

  // A point of a group, drawn once: dots, then crosses, then bars, as in the legend.
  function sprite(g, r) {
    const key = g % 24 + ' ' + r.toFixed(2);
    if (sprites.has(key)) return sprites.get(key);
    const made = document.createElement('canvas'), mark = made.getContext('2d');
    const reach = Math.max(r, 0.6) * ratio, middle = Math.ceil(reach) + 1;
    made.width = made.height = 2 * middle;
    mark.strokeStyle = mark.fillStyle = colours['s' + g % 8];
    mark.lineWidth = Math.max(1, 0.55 * reach);
    mark.beginPath();
    const shape = Math.floor(g / 8) % 3;
    if (shape === 0) mark.arc(middle, middle, reach, 0, 2 * Math.PI);
    if (shape === 0) mark.fill();
    if (shape === 1) {
      mark.moveTo(middle - reach, middle - reach);
      mark.lineTo(middle + reach, middle + reach);
      mark.moveTo(middle - reach, middle + reach);
      mark.lineTo(middle + reach, middle - reach);
    }
    if (shape === 2) {
      mark.moveTo(middle, middle - reach);
      mark.lineTo(middle, middle + reach);
    }
    if (shape !== 0) mark.stroke();
    sprites.set(key, made);
    return made;
  }

  // Points in an order that has nothing to do with the rows': no group covers another one.
  function drawingOrder() {
    if (!order) {
      let step = Math.max(1, Math.round(0.618 * n));
      const divisor = (a, b) => (b ? divisor(b, a % b) : a);
      while (divisor(step, n) > 1) ++step;
      order = Uint32Array.from({length: n}, (_, i) => (i * step) % n);
    }
    return q === 3 && n <= 30000 ? order.slice().sort((a, b) => depth[b] - depth[a]) : order;
  }

  function number(words, x, y) {
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.font = '700 15px system-ui, sans-serif';
    brush.textAlign = 'center';
    brush.textBaseline = 'middle';
    brush.lineWidth = 4;
    brush.lineJoin = 'round';
    brush.strokeStyle = colours.paper;
    brush.strokeText(words, x, y);
    brush.fillStyle = colours.ink;
    brush.fillText(words, x, y);
  }

  // The rows on a canvas of their own: the pointer that moves over 100,000 draws a ring, not them.
  const layer = document.createElement('canvas'), brush = layer.getContext('2d');
  let stale = true;

  const opacity = (i) => (q === 3 ? 0.75 - 0.3 * Math.max(-1, Math.min(1, depth[i])) : 0.72);

  function drawPoints(seen) {
    const r = radius();
    for (const i of seen) {
      const point = sprite(group[i], r);
      brush.globalAlpha = opacity(i);
      brush.drawImage(point, px[i] * ratio - point.width / 2, py[i] * ratio - point.height / 2);
    }
  }

  // So many that their shapes cannot be told: squares, mixed with what is there pixel by pixel.
  function drawSpecks(seen) {
    const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const inks = [0, 1, 2, 3, 4, 5, 6, 7].map((k) => rgb(colours['s' + k]));
    const image = brush.createImageData(layer.width, layer.height), to = image.data;
    const paper = rgb(colours.paper), side = Math.max(1, Math.round(2 * radius() * ratio));
    for (let k = 0; k < to.length; ++k) to[k] = k % 4 < 3 ? paper[k % 4] : 255;
    for (const i of seen) {
      const ink = inks[group[i] % 8], part = opacity(i);
      const left = Math.round(px[i] * ratio - side / 2), top = Math.round(py[i] * ratio - side / 2);
      for (let y = Math.max(0, top); y < Math.min(layer.height, top + side); ++y) {
        for (let x = Math.max(0, left); x < Math.min(layer.width, left + side); ++x) {
          const at = 4 * (y * layer.width + x);
          for (let k = 0; k < 3; ++k) to[at + k] += part * (ink[k] - to[at + k]);
        }
      }
    }
    brush.putImageData(image, 0, 0);
  }

  function drawRows() {
    project();
    layer.width = canvas.width;
    layer.height = canvas.height;
    const seen = drawingOrder().filter((i) => !hidden[group[i]] && px[i] > -9 && py[i] > -9 &&
                                              px[i] < width + 9 && py[i] < height + 9);
    if (seen.length > 20000) drawSpecks(seen); else drawPoints(seen);
    brush.globalAlpha = 1;
    anchors.forEach((i, g) => {
      if (hidden[g]) return;
      const lane = height / 2 + (height / 2 - 28) * ((2 * g + 1) / lanes - 1);
      const aside = q === 1 && lanes > 1;
      number(String(labels[g]), aside ? 12 : px[i], aside ? lane : py[i]);
    });
    stale = false;
  }

  function draw() {
    if (stale) drawRows();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(layer, 0, 0);
    if (view.row >= 0) {
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.beginPath();
      pen.arc(px[view.row], py[view.row], radius() + 4, 0, 2 * Math.PI);
      pen.lineWidth = 2;
      pen.strokeStyle = colours.ink;
      pen.stroke();
    }
    showTip();
    live.dataset.zoom = view.zoom.toFixed(3);
    live.dataset.frame = view.frame.toFixed(2);
  }

  let asked = false;
  function soon() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  }
  function redraw() {
    stale = true;
    soon();
  }

  // ---- who it is -------------------------------------------------------------------------------

  const plain = (value) => Number(value.toPrecision(4)).toString().replace('-', '\u2212');

  function who(i) {
    const frame = frames[Math.round(view.frame)], place = [];
    for (let j = 0; j < q; ++j) {
      const share = frame.at[i * q + j] / 65535;
      place.push(plain(frame.low[j] + share * (frame.high[j] - frame.low[j])));
    }
    const label = labels.length ? ' \u00b7 label ' + labels[group[i]] : '';
    return 'row ' + (rows ? rows[i] : i) + label + ' \u00b7 (' + place.join(', ') + ')';
  }

  function showTip() {
    tip.hidden = view.row < 0;
    if (tip.hidden) return;
    tip.textContent = who(view.row);
    const x = px[view.row], y = py[view.row];
    tip.style.left = Math.max(4, Math.min(width - tip.offsetWidth - 4, x + 12)) + 'px';
    tip.style.top = (y > 48 ? y - tip.offsetHeight - 10 : y + 12) + 'px';
  }

  function nearest(x, y) {
    let best = -1, least = 14 * 14;
    for (let i = 0; i < n; ++i) {
      const away = (px[i] - x) ** 2 + (py[i] - y) ** 2;
      if (away < least && !hidden[group[i]]) {
        least = away;
        best = i;
      }
    }
    return best;
  }

  // ---- moving about ----------------------------------------------------------------------------

  // By `factor` around (x, y) of the canvas, which stays where it is.
  function zoomBy(factor, x = width / 2, y = height / 2) {
    const before = view.zoom, unit = pixelsPerUnit();
    view.zoom = Math.max(1, Math.min(400, before * factor));
    const gain = 1 - before / view.zoom;
    view.x += (x - width / 2) / unit.x * gain;
    view.y -= (y - height / 2) / unit.y * gain;
    if (view.zoom === 1) view.x = view.y = 0;
    redraw();
  }

  function pan(dx, dy) {
    const unit = pixelsPerUnit();
    view.x -= dx / unit.x;
    view.y += dy / unit.y;
    redraw();
  }

  function turn(dx, dy) {
    view.yaw += dx * 0.008;
    view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + dy * 0.008));
    redraw();
  }

  function reset() {
    Object.assign(view, {zoom: 1, x: 0, y: 0, yaw: 0.6, pitch: 0.35});
    redraw();
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener('wheel', (event) => {
    if (event.deltaY > 0 && view.zoom === 1) return;  // the page scrolls
    event.preventDefault();
    zoomBy(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) * 0.004), ...at(event));
  }, {passive: false});
  let held = null;
  canvas.addEventListener('pointerdown', (event) => {
    held = [event.clientX, event.clientY];
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!held) {
      view.row = nearest(...at(event));
      soon();
      return;
    }
    const dx = event.clientX - held[0], dy = event.clientY - held[1];
    held = [event.clientX, event.clientY];
    if (q === 3 && !event.shiftKey) turn(dx, dy); else pan(dx, dy);
  });
  for (const end of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(end, () => { held = null; });
  }
  canvas.addEventListener('pointerleave', () => {
    view.row = -1;
    soon();
  });
  canvas.addEventListener('dblclick', reset);
  canvas.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40],
                  ArrowDown: [0, -40]}[event.key];
    if (step) {
      if (q === 3 && !event.shiftKey) turn(-step[0], -step[1]); else pan(...step);
    } else if (event.key === '+' || event.key === '=') zoomBy(1.5);
    else if (event.key === '-') zoomBy(1 / 1.5);
    else if (event.key === '0') reset();
    else return;
    event.preventDefault();
  });

  // ---- buttons, legend, player -----------------------------------------------------------------

  const doing = {in: () => zoomBy(1.5), out: () => zoomBy(1 / 1.5), reset};
  for (const button of map.querySelectorAll('.tools button')) {
    button.addEventListener('click', doing[button.dataset.do]);
  }
  map.querySelectorAll('.legend li').forEach((item, g) => {
    item.tabIndex = 0;
    item.setAttribute('role', 'switch');
    const toggle = () => {
      hidden[g] = 1 - hidden[g];
      item.setAttribute('aria-checked', String(!hidden[g]));
      view.row = -1;
      redraw();
    };
    item.setAttribute('aria-checked', 'true');
    item.addEventListener('click', toggle);
    item.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      toggle();
    });
  });

  const player = find('.player');
  if (player) {
    const play = player.querySelector('button'), slider = player.querySelector('input');
    const told = player.querySelector('output');
    let playing = false, before = 0;
    const tell = () => {
      const frame = frames[Math.round(view.frame)];
      slider.value = String(view.frame);
      told.textContent = 'iteration ' + frame.iteration +
          (frame.kl === null ? '' : ' \u00b7 KL ' + frame.kl.toPrecision(4)) +
          (frame.iteration < data.exaggerated ? ' \u00b7 exaggerated' : '');
      play.textContent = playing ? 'Pause' : 'Play';
    };
    const step = (now) => {
      if (!playing) return;
      // A frame's time may lie before the click that began it.
      view.frame = Math.min(last, view.frame + Math.max(0, Math.min(1, (now - before) / 140)));
      before = now;
      if (view.frame === last) playing = false;
      tell();
      stale = true;
      draw();
      if (playing) requestAnimationFrame(step);
    };
    play.addEventListener('click', () => {
      playing = !playing;
      if (playing && view.frame === last) view.frame = 0;
      before = performance.now();
      if (playing) requestAnimationFrame(step);
      tell();
    });
    slider.addEventListener('input', () => {
      playing = false;
      view.frame = Number(slider.value);
      tell();
      redraw();
    });
    slider.max = String(last);
    tell();
  }

  // "#row=17" in the page's address marks that row and goes there.
  function goToRow() {
    const named = /^#row=(\d+)$/.exec(location.hash);
    if (!named) return;
    const wanted = Number(named[1]);
    const i = rows ? rows.indexOf(wanted) : wanted < n ? wanted : -1;
    if (i < 0) return;
    reset();
    view.row = i;
    project();
    zoomBy(5, px[i], py[i]);
    project();
    pan(width / 2 - px[i], height / 2 - py[i]);
  }

  find('.still').hidden = true;
  live.hidden = false;
  theme();
  size();
  goToRow();
  draw();
  window.addEventListener('hashchange', goToRow);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    theme();
    redraw();
  });
  new ResizeObserver(() => {
    if (Math.abs(stage.clientWidth - width) < 1) return;
    size();
    redraw();
  }).observe(stage);
})();
