// Compiles WGSL with Tint, the compiler of Dawn and Chrome: node tint.mjs FOLDER [--larger]
//
// The folder holds NAME.wgsl and, where a shader has override constants, NAME.constants.json with the sets in use, as `hyperloom
// kernels` writes them. Prints each complaint with shader and line, and fails where there is one. Nothing is run: a null device
// does, which has WebGPU's default limits. With --larger the shaders are for devices that have more: those without constants are
// checked as modules alone, since a pipeline would be refused for its size.

import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { create } from 'webgpu';

const [folder, larger] = process.argv.slice(2);
const files = readdirSync(folder).filter((f) => f.endsWith('.wgsl')).sort();
const gpu = create(['backend=null']);
// Collected before the end, it would take the process down with it.
globalThis.kept = gpu;
const adapter = await gpu.requestAdapter();
if (!adapter || files.length === 0) {
    console.error(adapter ? `no shaders in ${folder}` : 'Dawn offers no null device');
    process.exit(2);
}
const device = await adapter.requestDevice();

let failures = 0;
let pipelines = 0;
const complain = (text) => {
    failures += 1;
    console.log(text);
};

/** The message of a validation error that `work` raises, or null. */
const errorOf = async (work) => {
    device.pushErrorScope('validation');
    await work();
    return (await device.popErrorScope())?.message ?? null;
};

for (const file of files) {
    const code = readFileSync(join(folder, file), 'utf8');
    const lines = code.split('\n');
    let module;
    const refused = await errorOf(() => {
        module = device.createShaderModule({ code, label: file });
    });
    const messages = (await module.getCompilationInfo()).messages.filter((m) => m.type === 'error');
    for (const m of messages) {
        complain(`${file}:${m.lineNum}:${m.linePos}: ${m.message}\n    ${(lines[m.lineNum - 1] ?? '').trim()}`);
    }
    if (messages.length > 0 || refused) {
        if (messages.length === 0) complain(`${file}: ${refused}`);
        continue;
    }
    const beside = join(folder, file.replace(/\.wgsl$/, '.constants.json'));
    const sets = existsSync(beside) ? JSON.parse(readFileSync(beside, 'utf8')) : [{}];
    for (const constants of sets) {
        if (larger === '--larger' && Object.keys(constants).length === 0) continue;
        const error = await errorOf(() =>
            device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main', constants } }),
        );
        pipelines += 1;
        if (error) complain(`${file} with ${JSON.stringify(constants)}: ${error}`);
    }
}
console.log(`${files.length} shaders, ${pipelines} pipelines, ${failures} refused by Tint`);
// Dawn's threads would keep the process.
process.exit(failures === 0 ? 0 : 1);
