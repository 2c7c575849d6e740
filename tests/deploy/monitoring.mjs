// Validates files of the Prometheus operator's resources against its own schemas: monitoring.mjs FILE...
//
// Schemas let unknown fields pass. So the resources are also written, as constants of their types, to
// target/deploy-tools/monitoring.ts, for the compiler of TypeScript to look at.

import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

// The packages are where tests/deploy/tools puts them, not beside this file.
const modules = pathToFileURL(`${process.cwd()}/target/deploy-tools/node_modules/`);
const { default: yaml } = await import(new URL('yaml/dist/index.js', modules));
const operator = '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/index.js';
const kinds = await import(new URL(operator, modules));

const typed = [`import type * as operator from './node_modules/${operator}';`];
let isGood = process.argv.length > 2;
for (const file of process.argv.slice(2)) {
    for (const document of yaml.parseAllDocuments(readFileSync(file, 'utf8'))) {
        try {
            const resource = document.toJS();
            const Kind = kinds[resource.kind];
            if (resource.apiVersion !== 'monitoring.coreos.com/v1' || !Kind) {
                throw new Error(`${resource.apiVersion} ${resource.kind} is not the operator's`);
            }
            new Kind(resource).validate();
            const name = `resource_${typed.length}`;
            typed.push(`export const ${name}: operator.I${resource.kind} = ${JSON.stringify(resource)};`);
        } catch (error) {
            console.error(`${file}: ${error.message}`);
            isGood = false;
        }
    }
}
writeFileSync('target/deploy-tools/monitoring.ts', typed.join('\n'));
process.exitCode = isGood ? 0 : 1;
