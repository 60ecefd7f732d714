import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, languageOf, sentence } from "../../web/js/logic/text.js";
import { TEXTS } from "../../web/js/texts.js";

test("every Chinese locale reads Chinese, everything else English", () => {
  assert.deepEqual(["zh", "zh-TW", "ZH-cn"].map(languageOf), ["zh", "zh", "zh"]);
  assert.deepEqual(["en", "xx", "", undefined, null].map(languageOf), ["en", "en", "en", "en", "en"]);
});

test("a pair is read in the user's language, or in the other one when it lacks it", () => {
  assert.equal(choose({ en: "key", zh: "密钥" }, "zh"), "密钥");
  assert.equal(choose({ en: "key", zh: "" }, "zh"), "key");
  assert.equal(choose({ zh: "密钥" }, "en"), "密钥");
  assert.equal(choose(undefined, "en", "HTTP 500"), "HTTP 500");
});

test("a sentence is filled in, and a value may hold braces itself", () => {
  const texts = { en: { greeting: "Hello {name}, {missing}" } };
  assert.equal(sentence(texts, "en", "greeting", { name: "{x}" }), "Hello {x}, {missing}");
});

test("one result is a result, and two are results", () => {
  assert.equal(sentence(TEXTS, "en", "stored.state", { n: 1, size: "2 MB" }), "1 result, 2 MB");
  assert.equal(sentence(TEXTS, "en", "stored.state", { n: 2, size: "2 MB" }), "2 results, 2 MB");
  assert.equal(sentence(TEXTS, "zh", "stored.state", { n: 1, size: "2 MB" }), "1 个结果，2 MB");
});

test("a key that nobody wrote a sentence for is shown as itself", () => {
  assert.equal(sentence(TEXTS, "zh", "no.such.key"), "no.such.key");
});

test("a text is a pair only where one and several differ", () => {
  const pairs = Object.values(TEXTS).flatMap((texts) => Object.entries(texts).filter(([, text]) => text.one));
  assert.ok(pairs.length);
  assert.deepEqual(pairs.filter(([, { one, other }]) => one === other), []);
});
