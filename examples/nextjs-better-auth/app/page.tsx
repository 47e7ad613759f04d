import { headers } from 'next/headers';
import { auth } from '../auth';
import { SignIn } from './sign-in';
import { Tasks } from './tasks';

export default async function Page() {
  const session = await auth.api.getSession({ headers: await headers() });
  if (!session) return <SignIn />;
  return <Tasks email={session.user.email} tasklane={process.env.TASKLANE_URL ?? 'http://localhost:8000'} />;
}
