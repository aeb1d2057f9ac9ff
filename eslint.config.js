import tseslint from 'typescript-eslint'

export default tseslint.config(
  {
    ignores: [
      'relay/console/assets/',
      '**/dist/',
      'node_modules/',
      '.cache/',
      'extension-config/',
      'eslint.config.js',
      'test/artefacts/',
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  // What browsers run as it is: no types, no build.
  { files: ['examples/browser-app/*.js'], ...tseslint.configs.disableTypeChecked },
)
