import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A slow machine is no failure; an endless loop is.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
