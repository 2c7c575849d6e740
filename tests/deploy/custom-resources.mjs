// Checks custom resources: by the schemas of their operators, and, since those let unknown keys
// pass, by their TypeScript types.
//
// usage: node custom-resources.mjs FOLDER FILE..., from a folder that has node_modules. Writes into
// FOLDER what tsc shall check.
import * as keda from '@kubernetes-models/keda/keda.sh/v1alpha1';
import * as monitoring from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { readFileSync, writeFileSync } from 'node:fs';
import YAML from 'yaml';

const GROUPS = {
    'keda.sh/v1alpha1': { models: keda, from: '@kubernetes-models/keda/keda.sh/v1alpha1' },
    'monitoring.coreos.com/v1': {
        models: monitoring,
        from: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
    },
};

const [folder, ...files] = process.argv.slice(2);
let found = 0;
for (const file of files) {
    for (const document of YAML.parseAllDocuments(readFileSync(file, 'utf8'))) {
        if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0].message}`);
        const resource = document.toJS();
        const group = GROUPS[resource?.apiVersion];
        if (!group) continue;
        const { kind } = resource;
        const name = `${kind} ${resource.metadata?.name}`;
        const Model = group.models[kind];
        if (!Model) {
            console.error(`${file}: ${name}: ${resource.apiVersion} has no such kind`);
            process.exit(1);
        }
        try {
            new Model(resource).validate();
        } catch (error) {
            console.error(`${file}: ${name}: ${error.message}`);
            process.exit(1);
        }
        // Literals, so that tsc looks for surplus keys.
        const typed = [
            `// ${file}: ${name}`,
            `import type { I${kind} } from '${group.from}';`,
            `export const resource: I${kind} = ${JSON.stringify(resource, null, 4)};`,
        ];
        found += 1;
        writeFileSync(`${folder}/${found}-${kind}.ts`, `${typed.join('\n')}\n`);
    }
}
if (found === 0) {
    console.error('there are no custom resources in these files');
    process.exit(1);
}
