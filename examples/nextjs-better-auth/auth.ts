/** Authentication: Better Auth with e-mail and password, and tokens for Tasklane. */
import { betterAuth } from 'better-auth';
import { jwt } from 'better-auth/plugins';
import { Pool } from 'pg';

export const auth = betterAuth({
  baseURL: process.env.BETTER_AUTH_URL ?? 'http://localhost:3000',
  database: new Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  // Signs with its own key and publishes the public half at /api/auth/jwks, where Tasklane finds it.
  plugins: [jwt()],
  telemetry: { enabled: false },
});
