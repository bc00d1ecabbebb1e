/**
 * The on-screen keyboard: where it covers the page instead of shrinking it (iOS), the dock is lifted by
 * its height. Browsers that obey `interactive-widget=resizes-content` report no difference here.
 * @module
 */

/** Keep `--keyboard` on the root element at the height that the keyboard covers. */
export function followKeyboard() {
  const viewport = window.visualViewport;
  if (!viewport) return;
  const measure = () => {
    const covered = viewport.scale === 1 ? Math.max(0, window.innerHeight - viewport.height - viewport.offsetTop) : 0;
    document.documentElement.style.setProperty('--keyboard', `${Math.round(covered)}px`);
  };
  viewport.addEventListener('resize', measure);
  viewport.addEventListener('scroll', measure);
}
