// Times, durations and browsers in words. In English, like the document.

const seconds = new Intl.NumberFormat('en-GB', { style: 'unit', unit: 'second', unitDisplay: 'long' });
const minutes = new Intl.NumberFormat('en-GB', { style: 'unit', unit: 'minute', unitDisplay: 'long' });
const hours = new Intl.NumberFormat('en-GB', { style: 'unit', unit: 'hour', unitDisplay: 'long' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** "14 min 32 s": for a visible countdown. */
export function countdown(left) {
  const s = Math.max(0, Math.ceil(left));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, '0')} min`;
}

/** "15 minutes": for text that is read out or read once. From two minutes on, whole minutes. */
export function inWords(left) {
  const s = Math.max(0, Math.ceil(left));
  if (s < 120) return seconds.format(s);
  const m = Math.ceil(s / 60);
  if (m < 120) return minutes.format(m);
  const rest = m % 60;
  return hours.format(Math.floor(m / 60)) + (rest ? ` ${minutes.format(rest)}` : '');
}

/** "14:02:31": a time today. */
export function timeOfDay(date) {
  return clock.format(date);
}

/** "23 Nov 2026, 14:02". */
export function dayAndTime(date) {
  return day.format(date);
}

/** Sets the text of an element. Skips equal text: a selection survives, and screen readers announce nothing. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets a <time> to `date`: the text of `say` for people, and the ISO form for programs. */
export function writeTime(element, date, say) {
  element.dateTime = date.toISOString();
  write(element, say(date));
}

// The order matters: Edge also claims to be Chrome, Chrome to be Safari, Android to be Linux.
const browsers = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\b(?:OPR|Opera)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/(?:Chrome|Chromium|CriOS)\//, 'Chrome'],
  [/\bVersion\/.*Safari\//, 'Safari'],
];
const systems = [
  [/\bAndroid\b/, 'Android'],
  [/\biPad\b/, 'iPad'],
  [/\biPhone\b/, 'iPhone'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b|\bX11\b/, 'Linux'],
];

/** "Firefox on Windows", from a User-Agent; for any other, its first word ("curl"). */
export function browser(userAgent) {
  if (!userAgent) return 'Unknown browser';
  const find = (names) => names.find(([pattern]) => pattern.test(userAgent))?.[1];
  const name = find(browsers) ?? userAgent.split(/[\s/]/, 1)[0].slice(0, 40);
  const system = find(systems);
  return system ? `${name} on ${system}` : name;
}
