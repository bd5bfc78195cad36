// Builds dist/ (ES modules and the one-file sdk.js); `node build.mjs test` builds the tests instead, and
// `node build.mjs sdk FILE` writes sdk.js alone to FILE, which is all that the server's installation needs.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const shared = { absWorkingDir: here, bundle: true, minify: true, target: "es2022", logLevel: "warning" };
const [task = "all", file = "dist/sdk.js"] = process.argv.slice(2);

if (task === "test") {
  const tests = readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...shared,
    entryPoints: tests.map((name) => `test/${name}`),
    outdir: "build/test",
    minify: false,
    sourcemap: "inline",
    format: "esm",
    platform: "node",
    packages: "external",
  });
} else {
  await build({ ...shared, entryPoints: ["src/sdk.ts"], outfile: file, format: "iife", globalName: "trimtab" });
  if (task !== "sdk") {
    await build({
      ...shared,
      entryPoints: ["src/index.ts", "src/thumbs.ts"],
      outdir: "dist",
      format: "esm",
      splitting: true,
      chunkNames: "shared-[hash]",
    });
  }
}
