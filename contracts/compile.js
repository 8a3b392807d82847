// Compiles ProductionRegistry.sol and prints what Go needs of it, as JSON. The same sources
// give the same bytes on every machine: the compiler is WebAssembly of a pinned version, and
// names of files, which are part of the bytecode's metadata, do not depend on the folder.
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const name = "ProductionRegistry";
const file = name + ".sol";

const settings = {
  // "paris" is understood by every network that has EIP-1559 fees and proof of stake,
  // private ones that lag behind included. Later versions would save a few gas.
  evmVersion: "paris",
  optimizer: { enabled: true, runs: 1000 },
  outputSelection: { [file]: { [name]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};

const source = fs.readFileSync(path.join(__dirname, file), "utf8");

const input = {
  language: "Solidity",
  sources: { [file]: { content: source } },
  settings,
};

function readImport(wanted) {
  try {
    return { contents: fs.readFileSync(require.resolve(wanted), "utf8") };
  } catch (err) {
    return { error: err.message };
  }
}

const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));
for (const problem of output.errors || []) {
  process.stderr.write(problem.formattedMessage + "\n");
}
if ((output.errors || []).length > 0) {
  process.exit(1); // a warning is a reason to stop too: this code cannot be changed later
}

const contract = output.contracts[file][name];
delete settings.outputSelection;
process.stdout.write(
  JSON.stringify(
    {
      contract: name,
      source_sha256: crypto.createHash("sha256").update(source).digest("hex"),
      compiler: solc.version(),
      openzeppelin: require("@openzeppelin/contracts/package.json").version,
      settings,
      abi: contract.abi,
      bytecode: "0x" + contract.evm.bytecode.object,
      deployed_bytecode: "0x" + contract.evm.deployedBytecode.object,
    },
    null,
    2,
  ) + "\n",
);
