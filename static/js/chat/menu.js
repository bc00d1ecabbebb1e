/** Menus: a few deeds behind a button, by mouse, finger or keyboard. @module */

import { h } from '../dom.js';

/** @typedef {{name: string, deed: () => void, danger?: boolean}} Choice */

const GAP = 4;

/**
 * Open a menu at a button. It closes by a choice, by Escape, or by a press elsewhere.
 * @param {HTMLElement} button
 * @param {Choice[]} choices
 */
export function openMenu(button, choices) {
  const items = choices.map(({ name, deed, danger }) =>
    h('button', { type: 'button', role: 'menuitem', class: danger ? 'menu__item menu__item--danger' : 'menu__item', tabindex: '-1', onclick: () => {
      close();
      deed();
    } }, name));
  const menu = h('div', { class: 'menu', role: 'menu', popover: 'auto', 'aria-label': button.getAttribute('aria-label') ?? 'Menu' }, ...items);
  let returns = true;
  const close = () => {
    returns = false;
    menu.hidePopover();
    button.focus();
  };
  menu.addEventListener('keydown', (event) => {
    const at = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      items[to % items.length].focus();
    } else if (event.key === 'Tab') close();
  });
  menu.addEventListener('toggle', (event) => {
    const { newState } = /** @type {ToggleEvent} */ (event);
    button.setAttribute('aria-expanded', String(newState === 'open'));
    if (newState !== 'closed') return;
    menu.remove();
    if (returns && (document.activeElement === document.body || document.activeElement === null)) button.focus();
  });
  // Beside its button, so that it is within the same landmark.
  (button.closest('main') ?? document.body).append(menu);
  menu.showPopover();
  place(menu, button.getBoundingClientRect());
  items[0]?.focus();
}

/** Below the button, or above where there is no room. @param {HTMLElement} menu @param {DOMRect} at */
function place(menu, at) {
  const { width, height } = menu.getBoundingClientRect();
  const below = at.bottom + GAP + height <= window.innerHeight;
  menu.style.top = `${Math.max(GAP, below ? at.bottom + GAP : at.top - GAP - height)}px`;
  menu.style.left = `${Math.max(GAP, Math.min(at.right - width, window.innerWidth - width - GAP))}px`;
}
