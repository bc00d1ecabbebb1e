/**
 * The API docs: Swagger UI over this server's own description, with nothing fetched from elsewhere.
 * @module
 */

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const followScheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', followScheme);
followScheme();

/** @type {any} */ (window).SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The badge would send the document to a server of the library's makers.
  validatorUrl: null,
});
