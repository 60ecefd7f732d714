import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../web/js/logic/format.js";

const MOMENT = new Date(2026, 10, 20, 14, 5, 30).getTime() / 1000;
const DAY = 86400;

test("sizes are short", () => {
  const sizes = [0, 1, 1023, 1024, 1536, 10 * 1024 ** 2, 2.5 * 1024 ** 3, 5 * 1024 ** 5];
  assert.deepEqual(sizes.map(format.formatBytes), [
    "0 B",
    "1 B",
    "1023 B",
    "1.0 KB",
    "1.5 KB",
    "10 MB",
    "2.5 GB",
    "5120 TB",
  ]);
});

test("seconds show tenths while they are few, and minutes when they are many", () => {
  assert.deepEqual(
    [0, 4.26, 9.99, 12.6, 59.96, 75, 3675].map((seconds) => format.formatSeconds(seconds)),
    ["0.0 s", "4.3 s", "10.0 s", "13 s", "1:00", "1:15", "1:01:15"],
  );
  assert.equal(format.formatSeconds(3.4, "秒"), "3.4 秒");
  assert.deepEqual(
    [null, undefined, NaN].map((seconds) => format.formatSeconds(seconds)),
    ["", "", ""],
  );
});

test("a countdown never goes below zero", () => {
  assert.deepEqual([-3, 0, 24, 60, 3600].map(format.formatCountdown), ["0:00", "0:00", "0:24", "1:00", "1:00:00"]);
});

test("money keeps every digit that it came with, up to cents", () => {
  assert.equal(format.formatMoney("12.3", "CNY"), "¥12.30");
  assert.equal(format.formatMoney("-0.5", "USD"), "-$0.50");
  assert.equal(format.formatMoney("90071992547409931.239", "CNY"), "¥90,071,992,547,409,931.23");
  assert.equal(format.formatMoney("1234567", "EUR"), "1,234,567.00");
});

test("an amount is multiplied as a decimal number, and no digit is lost", () => {
  const all = [["0.1", 3], ["0.0014", 3], ["0", 3], ["12", 10], ["0.30", 100], ["90071992547409931.29", 3]];
  const products = all.map(([amount, times]) => format.timesMoney(amount, times));
  assert.deepEqual(products, ["0.3", "0.0042", "0", "120", "30.00", "270215977642229793.87"]);
  const shown = products.map((amount) => format.formatMoney(amount, "CNY", { isWhole: true }));
  assert.deepEqual(shown.slice(0, 5), ["¥0.30", "¥0.0042", "¥0.00", "¥120.00", "¥30.00"]);
});

test("an amount that is none is shown as it came", () => {
  assert.equal(format.formatMoney("n/a", "CNY"), "n/a");
});

test("a moment of today is a time, an older one has its day", () => {
  assert.equal(format.formatMoment(MOMENT, "en", MOMENT), "14:05");
  assert.equal(format.formatMoment(MOMENT, "en", MOMENT + 2 * DAY), "20 Nov, 14:05");
  assert.equal(format.formatMoment(MOMENT, "zh", MOMENT + 2 * DAY), "11月20日 14:05");
});

test("a model is known by what follows its maker", () => {
  assert.equal(format.shortModel("Pro/black-forest-labs/FLUX.1-schnell"), "FLUX.1-schnell");
  assert.equal(format.shortModel("kolors"), "kolors");
  assert.equal(format.shortModel(undefined), "");
});
