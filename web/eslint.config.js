import js from '@eslint/js';
import jsxA11y from 'eslint-plugin-jsx-a11y';
import reactHooks from 'eslint-plugin-react-hooks';
import globals from 'globals';
import tseslint from 'typescript-eslint';

/** app → features → parts → ui, api, lib; features are islands that don't know each other. */
const BOUNDARIES = [
    {
        files: ['src/{ui,lib,i18n}/**'],
        ban: ['@/features/**', '@/app/**', '@/api/**', '@/parts/**', '../**'],
    },
    { files: ['src/api/**'], ban: ['@/features/**', '@/app/**', '@/parts/**', '@/ui/**', '../**'] },
    { files: ['src/parts/**'], ban: ['@/features/**', '@/app/**', '../**'] },
    { files: ['src/features/**'], ban: ['@/features/**', '@/app/**', '../**'] },
];

export default tseslint.config(
    { ignores: ['dist', 'src/api/generated', 'test-results', 'playwright-report'] },
    js.configs.recommended,
    {
        files: ['**/*.{ts,tsx}'],
        extends: [
            tseslint.configs.strictTypeChecked,
            tseslint.configs.stylisticTypeChecked,
            jsxA11y.flatConfigs.strict,
            reactHooks.configs.flat.recommended,
        ],
        languageOptions: {
            globals: globals.browser,
            parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
        },
        rules: {
            '@typescript-eslint/consistent-type-definitions': ['error', 'interface'],
            '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
            '@typescript-eslint/switch-exhaustiveness-check': 'error',
            '@typescript-eslint/no-confusing-void-expression': [
                'error',
                { ignoreArrowShorthand: true },
            ],
            // What scrolls has to be reachable by keyboard, and has a name for that.
            'jsx-a11y/no-noninteractive-tabindex': [
                'error',
                { tags: [], roles: ['region', 'group'] },
            ],
            // The virtualizer keeps its own state; nothing here is compiled or memoised around it.
            'react-hooks/incompatible-library': 'off',
        },
    },
    ...BOUNDARIES.map(({ files, ban }) => ({
        files,
        rules: { 'no-restricted-imports': ['error', { patterns: [{ group: ban }] }] },
    })),
    { files: ['scripts/**', '*.js'], languageOptions: { globals: globals.node } },
);
