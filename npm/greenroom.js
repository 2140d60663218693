#!/usr/bin/env node
// Finds the program in the package of this platform, proves it by the SHA-256 that this package was made with, and
// runs it. Exit codes are those of the program; 2 where this machine has none, 3 where it is not what it must be.
"use strict";

const { spawn } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const SCOPE = "@greenroom-dev";
const PLATFORMS = {
  "darwin arm64": "macos-arm64",
  "darwin x64": "macos-x64",
  "linux arm64": "linux-arm64",
  "linux x64": "linux-x64",
};

function refuse(code, why) {
  process.stderr.write(`greenroom: ${why}\n`);
  process.exit(code);
}

// The folder of the package that holds this platform's program. Its name and version are compared, because a
// folder may be anybody's.
function folderOf(platform, version) {
  const name = `${SCOPE}/${platform}`;
  let file;
  try {
    file = require.resolve(`${name}/package.json`);
  } catch {
    refuse(3, `the package ${name} is not installed: install with optional dependencies`);
  }
  const found = JSON.parse(fs.readFileSync(file, "utf8"));
  if (found.name !== name || found.version !== version) {
    refuse(3, `the package ${found.name} ${found.version} stands in the place of ${name} ${version}, and is not run`);
  }
  return path.dirname(file);
}

function main() {
  const platform = PLATFORMS[`${process.platform} ${process.arch}`];
  if (platform === undefined) {
    refuse(2, `there is no program for ${process.platform} on ${process.arch}`);
  }
  const { version } = JSON.parse(fs.readFileSync(path.join(__dirname, "package.json"), "utf8"));
  const { [platform]: expected } = JSON.parse(fs.readFileSync(path.join(__dirname, "checksums.json"), "utf8"));
  if (expected === undefined) {
    refuse(3, `version ${version} has no checksum for ${platform}, and what has none is not run`);
  }
  const program = path.join(folderOf(platform, version), "greenroom");
  const found = createHash("sha256").update(fs.readFileSync(program)).digest("hex");
  if (found !== expected) {
    refuse(3, `${program} is not what was released (its SHA-256 is ${found} instead of ${expected}) and is not run`);
  }
  const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
  // Whoever ends this process means the program. It says when it has ended.
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) => refuse(3, `${program} cannot be run: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(signal === null ? code : 128 + os.constants.signals[signal]));
}

main();
