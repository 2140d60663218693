// Makes the packages of a release: one with the program for each platform, and one that finds and proves it.
//
//   node npm/pack.mjs VERSION FOLDER OUT    FOLDER holds the archives of the release, proved by action/release.sh
//
// What is in an archive is compared with action/checksums.txt once more: a package without a checksum is not made.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const SCOPE = "@greenroom-dev";
const PLATFORMS = {
  "linux-arm64": { os: "linux", cpu: "arm64" },
  "linux-x64": { os: "linux", cpu: "x64" },
  "macos-arm64": { os: "darwin", cpu: "arm64" },
  "macos-x64": { os: "darwin", cpu: "x64" },
};
const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");

function fail(why) {
  process.stderr.write(`npm/pack.mjs: ${why}\n`);
  process.exit(1);
}

const [version, folder, out] = process.argv.slice(2);
if (out === undefined || !/^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$/.test(version)) {
  fail("VERSION FOLDER OUT, with a version such as 1.2.3");
}
const lines = fs.readFileSync(path.join(root, "action/checksums.txt"), "utf8").split("\n");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function program(platform) {
  const words = lines.map((line) => line.split(" ")).find((line) => line[0] === version && line[1] === platform);
  if (words === undefined) {
    fail(`action/checksums.txt does not know version ${version} for ${platform}`);
  }
  const archive = path.join(folder, `greenroom-${platform}.tar.gz`);
  if (sha256(fs.readFileSync(archive)) !== words[2]) {
    fail(`${archive} is another one than was released`);
  }
  const bytes = execFileSync("tar", ["-xzOf", archive, "greenroom"], { maxBuffer: 1 << 30 });
  if (sha256(bytes) !== words[3]) {
    fail(`the program in ${archive} is another one than was released`);
  }
  return bytes;
}

function write(name, about, files) {
  const place = path.join(out, name);
  fs.mkdirSync(place, { recursive: true });
  const manifest = {
    name: `${SCOPE}/${name}`,
    version,
    description: "Every pull request gets its own stage, on your own account",
    license: "MIT OR Apache-2.0",
    repository: { type: "git", url: "git+https://github.com/greenroom-dev/greenroom.git" },
    ...about,
    files: Object.keys(files),
  };
  for (const [file, bytes] of Object.entries({ ...files, "package.json": `${JSON.stringify(manifest, null, 2)}\n` })) {
    fs.writeFileSync(path.join(place, file), bytes, { mode: file.includes(".") ? 0o644 : 0o755 });
  }
}

const checksums = {};
for (const [platform, { os, cpu }] of Object.entries(PLATFORMS)) {
  const bytes = program(platform);
  checksums[platform] = sha256(bytes);
  write(platform, { os: [os], cpu: [cpu] }, { greenroom: bytes });
}
const wrapper = {
  bin: { greenroom: "greenroom.js" },
  engines: { node: ">=18" },
  optionalDependencies: Object.fromEntries(Object.keys(PLATFORMS).map((name) => [`${SCOPE}/${name}`, version])),
};
write("greenroom", wrapper, {
  "greenroom.js": fs.readFileSync(path.join(root, "npm/greenroom.js")),
  "checksums.json": `${JSON.stringify(checksums, null, 2)}\n`,
  "README.md": "The program of [Greenroom](https://github.com/greenroom-dev/greenroom): `npx @greenroom-dev/greenroom check`.\n",
});
