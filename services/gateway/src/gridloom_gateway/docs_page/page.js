"use strict";

async function show() {
  const answer = await fetch("/docs/apis.json");
  SwaggerUIBundle({
    urls: await answer.json(),
    dom_id: "#api",
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
  });
}

show();
