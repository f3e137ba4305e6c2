// Does to a page of an embedding, opened at #row=N, what hands would do, and writes down what
// answers. viewer.py adds it to a copy of the page.
(async () => {
  const map = document.getElementById('map');
  const live = map.querySelector('.live'), canvas = map.querySelector('canvas');
  const tip = map.querySelector('.tip');
  const result = {};
  const wait = () => new Promise((done) => setTimeout(done, 80));
  const middle = (dx = 0, dy = 0) => {
    const box = canvas.getBoundingClientRect();
    return {clientX: box.left + box.width / 2 + dx, clientY: box.top + box.height / 2 + dy,
            bubbles: true, cancelable: true};
  };
  // In one dimension the row is somewhere above or below the middle.
  const flat = JSON.parse(document.getElementById('map-data').textContent).dimensions === 1;
  const reach = flat ? canvas.clientHeight / 2 : 0;
  const hover = async (dx = 0) => {
    let said = '';
    for (let dy = -reach; dy <= reach && said !== result.marked; dy += 8) {
      canvas.dispatchEvent(new PointerEvent('pointermove', middle(dx, dy)));
      await wait();
      said = tip.hidden ? '' : tip.textContent;
    }
    return said;
  };
  const key = async (name) => {
    canvas.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
    await wait();
    return live.dataset.zoom;
  };
  const drag = async (dx, dy, shiftKey) => {
    canvas.dispatchEvent(new PointerEvent('pointerdown', middle()));
    canvas.dispatchEvent(new PointerEvent('pointermove', {...middle(dx, dy), shiftKey}));
    canvas.dispatchEvent(new PointerEvent('pointerup', middle(dx, dy)));
    await wait();
  };
  const painted = () => {
    const copy = document.createElement('canvas');
    copy.width = canvas.width;
    copy.height = canvas.height;
    const pen = copy.getContext('2d', {willReadFrequently: true});
    pen.drawImage(canvas, 0, 0);
    const all = pen.getImageData(0, 0, copy.width, copy.height).data;
    // The corner is paper: at zoom 1 no row comes so near to the edge.
    const words = new Uint32Array(all.buffer);
    return words.reduce((count, word) => count + (word !== words[0]), 0);
  };

  await wait();
  result.replaced = map.querySelector('.still').hidden && !live.hidden;
  result.marked = tip.textContent;
  result.zoomOfMarked = live.dataset.zoom;
  result.hovered = await hover();
  canvas.dispatchEvent(new WheelEvent('wheel', {...middle(), deltaY: -60}));
  await wait();
  result.zoomOfWheel = live.dataset.zoom;
  result.afterWheel = await hover();
  await drag(90, 0, true);
  result.afterDrag = await hover(90);
  canvas.dispatchEvent(new PointerEvent('pointerleave', middle()));
  await wait();
  result.left = tip.hidden;
  canvas.dispatchEvent(new MouseEvent('dblclick', middle()));
  await wait();
  result.zoomOfDoubleClick = live.dataset.zoom;
  result.zoomOfPlus = await key('+');
  result.zoomOfMinus = await key('-');
  await key('+');
  await key('ArrowLeft');
  result.zoomOfZero = await key('0');
  for (const name of ['in', 'out', 'in', 'reset']) {
    map.querySelector(`[data-do=${name}]`).click();
    await wait();
    result['zoomOf_' + name] = live.dataset.zoom;
  }
  result.painted = painted();
  const entries = [...map.querySelectorAll('.legend li')];
  for (const entry of entries) entry.click();
  await wait();
  result.paintedOfNone = painted();
  result.checked = entries.map((entry) => entry.getAttribute('aria-checked'));
  if (entries.length) {
    entries[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
    await wait();
    result.paintedOfOne = painted();
  }
  const slider = map.querySelector('input');
  if (slider) {
    for (const entry of entries.slice(1)) entry.click();
    slider.value = '0';
    slider.dispatchEvent(new Event('input'));
    await wait();
    result.first = [live.dataset.frame, map.querySelector('output').textContent];
    map.querySelector('.player button').click();
    for (let i = 0; i < 100 && live.dataset.frame !== Number(slider.max).toFixed(2); ++i) {
      await wait();
    }
    result.last = [live.dataset.frame, map.querySelector('output').textContent];
    result.button = map.querySelector('.player button').textContent;
  }
  const told = document.createElement('pre');
  told.id = 'result';
  told.textContent = JSON.stringify(result);
  document.body.append(told);
})();
