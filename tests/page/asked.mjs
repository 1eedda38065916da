// Answers what a test asks on standard input: durations, or the order and depth of steps.

const from = (name) => import(new URL(`../../src/remit/collector/page/static/${name}`, import.meta.url));
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const asked = JSON.parse(Buffer.concat(chunks).toString());

if (asked.durations) {
  const { duration, number } = await from("formats.js");
  console.log(JSON.stringify({ durations: asked.durations.map(duration), numbers: asked.numbers.map(number) }));
} else {
  const { Outline } = await from("outline.js");
  console.log(JSON.stringify(asked.runs.map((slices) => {
    const outline = new Outline();
    slices.forEach((slice) => outline.add(slice));
    outline.build(slices.at(-1).now);
    return Array.from(outline.order, (step) => [outline.full(step), outline.depth[step]]);
  })));
}
